package worker

import (
	"context"
	"time"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
)

// Reopen is what a refusal means that answers a repeated create, and may be that of a name that is taken: the call before, which was lost, may
// have taken it, and the directory not show it yet. It is looked for again.
func Reopen(run *operation.Run, err error) error {
	if run.Open == nil {
		return err
	}
	f := failure.Of(err)
	return &failure.Error{Kind: failure.Unknown, Vendor: f.Vendor, Code: f.Code, Text: f.Text + "; a call before, whose answer was lost, may have created it: it is looked for again", Cause: err}
}

// pauses are those between the attempts to read what was just created: directories lag, mostly by less than this.
var pauses = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// ReadBack reads what was just created. What fails in a way that may pass is tried a few times more, as long as ctx allows.
func ReadBack[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	for _, pause := range pauses {
		got, err := read(ctx)
		if err == nil || !mayPass(err) {
			return got, err
		}
		select {
		case <-ctx.Done():
			return got, err
		case <-time.After(pause):
		}
	}
	return read(ctx)
}

func mayPass(err error) bool {
	return failure.Is(err, failure.NotFound) || failure.Is(err, failure.Unavailable) || failure.Is(err, failure.Throttled)
}
