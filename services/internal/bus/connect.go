package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 100 * time.Millisecond
	// logInterval is the minimum time between two log lines about the same trouble.
	logInterval = 10 * time.Second
)

// Connect connects to NATS, and waits until it succeeds or ctx ends. It never stops to reconnect,
// however long NATS is unavailable. Connect logs when the connection is lost, every 10 seconds
// until it is back, and when it is back, without the URL's credentials. End the connection with
// [Disconnect].
func Connect(ctx context.Context, natsURL, name string, logger *slog.Logger, options ...nats.Option) (*nats.Conn, error) {
	nc, err := dial(natsURL, name, logger, options...)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, nc, nats.CONNECTED); err != nil {
		nc.Close()
		return nil, fmt.Errorf("bus: NATS could not be reached: %w", err)
	}
	return nc, nil
}

// dial connects as [Connect] does, but does not wait until it succeeds.
func dial(natsURL, name string, logger *slog.Logger, options ...nats.Option) (*nats.Conn, error) {
	mayLog := throttle(logInterval)
	nc, err := nats.Connect(natsURL, append([]nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// after a change of credentials the old ones are refused for a while: keep trying
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(nc *nats.Conn) {
			metrics.NATSConnected.WithLabelValues().Set(1)
			logger.Info("connected to NATS", "server", nc.ConnectedUrlRedacted())
			warnOfPlainText(nc, logger)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			metrics.NATSConnected.WithLabelValues().Set(0)
			if err != nil { // nil: Disconnect ended it
				logger.Warn("lost the connection to NATS", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if mayLog() {
				logger.Warn("waiting for NATS", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			metrics.NATSConnected.WithLabelValues().Set(1)
			metrics.NATSReconnects.WithLabelValues().Inc()
			logger.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				metrics.NATSDenials.WithLabelValues().Inc()
			}
			logger.Error("NATS reported an error", "error", err)
		}),
	}, options...)...)
	if err != nil {
		if invalid, ok := errors.AsType[*url.Error](err); ok {
			err = invalid.Err // the outer error quotes the URL with its password
		}
		return nil, fmt.Errorf("bus: connect to NATS: %w", err)
	}
	return nc, nil
}

// Disconnect sends what is buffered, acknowledgements for example, and closes the connection. When
// ctx ends it closes the connection at once and returns an error.
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

// warnOfPlainText logs a warning if the connection leaves this machine without TLS.
func warnOfPlainText(nc *nats.Conn, logger *slog.Logger) {
	if _, err := nc.TLSConnectionState(); err == nil {
		return
	}
	address, err := netip.ParseAddrPort(nc.ConnectedAddr())
	if err == nil && address.Addr().Unmap().IsLoopback() {
		return
	}
	logger.Warn("the connection to NATS is not encrypted: whoever can listen on the network reads and changes what it carries; give --nats-ca, or a tls:// URL")
}

// await waits until the connection has a status, or until ctx ends.
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

// throttle returns a function that is true at most once in a period.
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
