package apptest

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/natstest"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// Env is a NATS server of the test's own.
type Env struct {
	URL string
	JS  jetstream.JetStream
}

// Partitions of the test's streams.
const Partitions = 2

// StartNATS starts a server without streams.
func StartNATS(t *testing.T) *Env {
	t.Helper()
	js := natstest.Start(t)
	return &Env{URL: js.Conn().ConnectedUrl(), JS: js}
}

// Start starts a server with the streams.
func Start(t *testing.T) *Env {
	t.Helper()
	env := StartNATS(t)
	if err := topology.Ensure(t.Context(), env.JS, topology.Config{Partitions: Partitions}); err != nil {
		t.Fatal(err)
	}
	return env
}

// Serve carries the commands of a domain out with the real engine, the test's handlers and short
// retries. change changes the engine's settings.
func (env *Env) Serve(t *testing.T, domain event.Domain, handlers map[string]operation.Handler, change ...func(*operation.Config)) {
	t.Helper()
	soon := operation.Retry{First: time.Millisecond, Max: time.Millisecond, Horizon: time.Hour}
	cfg := operation.Config{
		Domain: domain, Handlers: handlers, JS: env.JS, Log: slog.New(slog.DiscardHandler),
		Operators: map[string][]string{"contoso": {"/mailwright-cli"}}, // as the sandbox is configured
		Retries:   operation.Retries{failure.Unavailable: soon, failure.Unknown: soon, failure.Throttled: soon},
	}
	for _, c := range change {
		c(&cfg)
	}
	engine, err := operation.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve %s: %v", domain, err)
		}
	})
}

// Dir is a folder that other users may enter. The server of Postgres does not run as root, and the
// parents of t.TempDir are closed to it.
func Dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mw-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Postgres starts a server of the test's own, without a schema, and gives its URL.
func Postgres(t *testing.T) string {
	t.Helper()
	server, err := embedded.StartPostgres(t.Context(), embedded.PostgresConfig{Dir: Dir(t), Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	return server.URL()
}
