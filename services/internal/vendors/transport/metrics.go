package transport

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

type callKey struct{}

// WithCall names the vendor's call that is made with a context, such as Set-Mailbox, for metrics
// and traces. The name is a constant of the client's: each value is a series that stays.
func WithCall(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callKey{}, name)
}

// callOf gives the name of a call; another one if it has none.
func callOf(ctx context.Context, otherwise string) string {
	name, _ := ctx.Value(callKey{}).(string)
	return cmp.Or(name, otherwise)
}

// count counts a request and its duration, by the status of the answer or the kind of the failure.
func (c *Client) count(call string, took time.Duration, res *Response, err error) {
	result := "lost"
	switch f := failure.Of(err); {
	case err == nil:
		result = strconv.Itoa(res.Status)
	case f != nil:
		result = string(f.Kind)
	}
	metrics.VendorRequestSeconds.WithLabelValues(c.cfg.Vendor, call, result).Observe(took.Seconds())
}
