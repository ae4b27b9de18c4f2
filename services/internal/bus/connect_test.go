package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/bus"
)

// lockedBuffer is a log that several goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestConnectWaitsForNATS(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	address := server.url()
	server.server.Shutdown()

	var log lockedBuffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := bus.Connect(ctx, address, "test", logger)
		ended <- err
	}()
	eventually(t, "the log has the wait for NATS", func() bool { return strings.Contains(log.String(), "waiting for NATS") })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Connect gave up with %v", err)
	}

	connected := make(chan *nats.Conn, 1)
	go func() {
		nc, err := bus.Connect(t.Context(), strings.Replace(address, "nats://", "nats://jo:hunter2@", 1), "test", logger)
		if err != nil {
			t.Error(err)
		}
		connected <- nc
	}()
	eventually(t, "the second one waits too", func() bool { return strings.Count(log.String(), "waiting for NATS") == 2 })
	server.restart()
	nc := <-connected
	if !nc.IsConnected() {
		t.Error("Connect returned without a connection")
	}
	server.restart()
	eventually(t, "the log has the reconnect", func() bool { return strings.Contains(log.String(), "connected to NATS again") })
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log has the password:\n%s", log.String())
	}
	stop, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := bus.Disconnect(stop, nc); err != nil || !nc.IsClosed() {
		t.Errorf("Disconnect: %v, closed %v", err, nc.IsClosed())
	}
	if err := bus.Disconnect(stop, nc); err != nil {
		t.Errorf("the second Disconnect: %v", err)
	}
}

func TestConnectDoesNotQuoteTheURL(t *testing.T) {
	t.Parallel()
	_, err := bus.Connect(t.Context(), "nats://jo:hunter2%zz@127.0.0.1:4222", "test", quiet)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Connect: %v", err)
	}
}
