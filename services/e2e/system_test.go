// Package e2e holds the suites over the whole system: real processes, real NATS, real Postgres, the sandbox for the
// vendors. They know nothing of the inside: they publish commands, and read events, rows and the sandbox's journal.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/stack"
)

// bin holds the programs: built by make, or else here.
var bin = os.Getenv("MAILWRIGHT_BIN")

func TestMain(m *testing.M) {
	if bin == "" {
		dir, err := os.MkdirTemp("", "mailwright-bin-")
		if err != nil {
			panic(err)
		}
		args := []string{"build", "-o", dir + "/", "../mailwright", "../sandbox"}
		for _, s := range stack.Services {
			args = append(args, "../"+s)
		}
		build := exec.Command("go", args...)
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Println("the programs do not build:", err)
			os.Exit(1)
		}
		bin = dir
		defer func() { _ = os.RemoveAll(dir) }()
	}
	os.Exit(m.Run())
}

const patience = 90 * time.Second

// system is a running Mailwright of a test's own.
type system struct {
	*testing.T
	*stack.Stack
	dir string
	js  jetstream.JetStream
	db  *pgxpool.Pool
}

func start(t *testing.T) *system {
	t.Helper()
	// Not t.TempDir: its parents are closed to the user that Postgres runs as.
	dir, err := os.MkdirTemp("", "mailwright-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &system{T: t, dir: dir}
	s.Stack, err = stack.Start(t.Context(), stack.Options{Dir: dir, Bin: bin, Volatile: true, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.clean)
	nc, err := nats.Connect(s.Endpoints.NATS, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	if s.db, err = pgxpool.New(t.Context(), s.Endpoints.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.db.Close)
	return s
}

// clean stops the system and keeps its logs where the test failed.
func (s *system) clean() {
	if err := s.Stop(); err != nil {
		s.Errorf("stop: %v", err)
	}
	if s.Failed() {
		s.Logf("the logs are in %s", filepath.Join(s.dir, "logs"))
		return
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.Error(err)
	}
}

const source = "/e2e"

// command is a message as a foreign publisher makes it.
type command struct {
	id, eventType, key, data string
}

func (c command) message() *nats.Msg {
	return &nats.Msg{
		Subject: bus.CommandSubject(event.DomainOf(c.eventType), c.key), Data: []byte(c.data),
		Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {c.id}, "ce-source": {source}, "ce-type": {c.eventType}, "content-type": {"application/json"}},
	}
}

// publish stores a message, again and again while NATS is away, as a careful publisher does.
func (s *system) publish(ctx context.Context, m *nats.Msg) error {
	for {
		_, err := s.js.PublishMsg(ctx, m)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("publish: %w", errors.Join(err, ctx.Err()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *system) mustPublish(m *nats.Msg) {
	s.Helper()
	if err := s.publish(s.Context(), m); err != nil {
		s.Fatal(err)
	}
}

// outcome waits for the outcome of a command.
func (s *system) outcome(domain event.Domain, id string) event.Event {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	subject := bus.EventSubject(domain, event.OperationID(source, id))
	consumer, err := s.js.OrderedConsumer(ctx, bus.Events, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		s.Fatal(err)
	}
	for {
		m, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			s.Fatalf("no outcome of %s on %s: %v", id, subject, err)
		}
		e, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			s.Fatal(err)
		}
		if state, ok := event.StateOf(e); ok && state.Terminal() {
			return e
		}
	}
}

// eventually waits until a condition holds; it says what is missing while it does not.
func (s *system) eventually(holds func(ctx context.Context) (missing string)) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	for missing := holds(ctx); missing != ""; missing = holds(ctx) {
		select {
		case <-ctx.Done():
			s.Fatal(missing)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// rows runs a query that gives one text a row.
func (s *system) rows(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := s.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// control reads one of the sandbox's control endpoints.
func (s *system) control(path string, into any) {
	s.Helper()
	res, err := http.Get(s.Endpoints.Sandbox + "/control/" + path)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		s.Fatalf("GET /control/%s: %s", path, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		s.Fatal(err)
	}
}
