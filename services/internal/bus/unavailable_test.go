package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

func TestIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nil":                      {nil, false},
		"nobody answered in time":  {context.DeadlineExceeded, true},
		"client timeout":           {nats.ErrTimeout, true},
		"no responders":            {nats.ErrNoResponders, true},
		"no stream took it":        {jetstream.ErrNoStreamResponse, true},
		"disconnected":             {nats.ErrDisconnected, true},
		"reconnect buffer full":    {nats.ErrReconnectBufExceeded, true},
		"503":                      {&jetstream.APIError{Code: 503}, true},
		"wrapped":                  {fmt.Errorf("publish: %w", &jetstream.APIError{Code: 503}), true},
		"500":                      {&jetstream.APIError{Code: 500}, false},
		"wrong last sequence":      {&jetstream.APIError{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}, false},
		"stream not found":         {jetstream.ErrStreamNotFound, false},
		"closed by this process":   {nats.ErrConnectionClosed, false},
		"the caller gave up":       {context.Canceled, false},
		"larger than the server's": {nats.ErrMaxPayload, false},
		"another error":            {errors.New("x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := bus.IsUnavailable(c.err); got != c.want {
				t.Errorf("IsUnavailable(%v) = %v", c.err, got)
			}
		})
	}
}
