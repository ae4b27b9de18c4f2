package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 100 * time.Millisecond
	// remindEvery is how often the log repeats that NATS can not be reached.
	remindEvery = 10 * time.Second
)

// Connect waits until NATS answers or ctx ends, and then keeps the connection for ever: it
// comes back by itself however long NATS is gone. The log says so once when it goes, every
// [remindEvery] while it is gone, and once when it is back, never with the URL's credentials.
// End the connection with [Disconnect].
func Connect(ctx context.Context, natsURL, name string, logger *slog.Logger, options ...nats.Option) (*nats.Conn, error) {
	remind := throttle(remindEvery)
	nc, err := nats.Connect(natsURL, append([]nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// credentials that are being changed must not leave a service deaf
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(nc *nats.Conn) {
			logger.Info("connected to NATS", "server", nc.ConnectedUrlRedacted())
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: we ended it ourselves
				logger.Warn("lost the connection to NATS", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if remind() {
				logger.Warn("waiting for NATS", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			logger.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			logger.Error("NATS reported an error", "error", err)
		}),
	}, options...)...)
	if err != nil {
		if wrong, ok := errors.AsType[*url.Error](err); ok {
			err = wrong.Err // the outer one quotes the URL with its password
		}
		return nil, fmt.Errorf("bus: connect to NATS: %w", err)
	}
	if err := await(ctx, nc, nats.CONNECTED); err != nil {
		nc.Close()
		return nil, fmt.Errorf("bus: NATS could not be reached: %w", err)
	}
	return nc, nil
}

// Disconnect hands over what has been published, acknowledgements among it, and closes the
// connection. It gives up when ctx ends.
func Disconnect(ctx context.Context, nc *nats.Conn) error {
	if err := nc.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("bus: disconnect from NATS: %w", err)
	}
	if err := await(ctx, nc, nats.CLOSED); err != nil {
		nc.Close()
		return fmt.Errorf("bus: disconnect from NATS: %w", err)
	}
	return nil
}

// await returns when the connection has the status wanted, or when ctx ends.
func await(ctx context.Context, nc *nats.Conn, want nats.Status) error {
	changed := nc.StatusChanged(want)
	defer nc.RemoveStatusListener(changed)
	for nc.Status() != want {
		select {
		case _, open := <-changed:
			if !open && nc.Status() != want {
				return cmp.Or(nc.LastError(), nats.ErrConnectionClosed)
			}
		case <-ctx.Done():
			return errors.Join(ctx.Err(), nc.LastError())
		}
	}
	return nil
}

// throttle returns a function that is true at most once in the period given.
func throttle(period time.Duration) func() bool {
	var mu sync.Mutex
	var last time.Time
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(last) >= period {
			last = now
			return true
		}
		return false
	}
}
