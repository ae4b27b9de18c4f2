package bus

import (
	"context"
	"errors"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// IsUnavailable reports whether an error means that NATS or JetStream could not answer for now, so
// that the same request may succeed later: the connection is down, nobody answered in time, or the
// server answered 503, as it does without a leader or without free space.
//
// It is false for nil, for a connection that this process has closed, and for every other refusal.
// It cannot tell a request's own timeout from the end of the caller's context: a caller whose
// context has a deadline checks that context first.
func IsUnavailable(err error) bool {
	for _, unavailable := range []error{
		context.DeadlineExceeded,
		nats.ErrTimeout,
		nats.ErrNoResponders,
		jetstream.ErrNoStreamResponse,
		nats.ErrDisconnected,
		nats.ErrConnectionReconnecting,
		nats.ErrReconnectBufExceeded,
		nats.ErrStaleConnection,
	} {
		if errors.Is(err, unavailable) {
			return true
		}
	}
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refusal.Code == http.StatusServiceUnavailable
}
