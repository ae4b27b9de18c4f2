// Package e2e holds the suites over the whole system: real processes, real NATS, real Postgres, the
// sandbox for the vendors. They know nothing of the inside: they publish commands, and read events,
// rows and the sandbox's journal.
package e2e

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/testprograms"
)

// backend is what the suites run on: containers or embedded servers, as scripts/test found out.
var backend = testkit.Backend(cmp.Or(os.Getenv("MAILWRIGHT_TEST_BACKEND"), string(testkit.Embedded)))

// bin holds the programs for embedded servers.
var bin string

// failpointBin holds the programs with failpoints, once a test has asked for one.
var failpointBin string

var buildFailpoints = sync.OnceValue(func() error {
	return testprograms.BuildWithFailpoints(failpointBin, "mailwright", "directory-svc", "delegation-svc")
})

// failpointProgram is the file of a program that the test kills or stops at a step, on this machine
// whatever the backend. Released programs have no failpoints.
func failpointProgram(t *testing.T, name string) string {
	t.Helper()
	if err := buildFailpoints(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(failpointBin, name)
}

// sideBySide is how many tests run at once: most of their time they wait, for retries, outages and
// approvals.
const sideBySide = "3"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", sideBySide); err != nil { // unless the command line says otherwise
		panic(err)
	}
	os.Exit(testprograms.Run(func(dir string) int {
		bin = dir
		return runWithPool(m)
	}))
}

// images are those that scripts/images built last, by id: another build may move the names
// meanwhile. There is no such list where MAILWRIGHT_TEST_IMAGES does not say where it is.
func images(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(os.Getenv("MAILWRIGHT_TEST_IMAGES"))
	if err != nil {
		return nil
	}
	list := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) == 3 {
			list[fields[0]] = fields[1]
		}
	}
	return list
}

// waitTimeout is far longer than any wait takes: after an outage the pauses between attempts
// double, and a mailbox also waits for its user.
const waitTimeout = 5 * time.Minute

// env is a running Mailwright, and the test that uses it.
type env struct {
	*testing.T
	*testkit.System
	dir string
	js  jetstream.JetStream
	db  *pgxpool.Pool
}

// start starts a system for one test.
func start(t *testing.T, further ...testkit.Option) *env {
	t.Helper()
	s, err := run(t.Context(), t, append(further, testkit.WithLog(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.clean)
	return s
}

// starting lets one system start at a time, which takes the whole machine: others would not answer
// as fast as their tests want.
var starting sync.Mutex

func run(ctx context.Context, t *testing.T, further ...testkit.Option) (*env, error) {
	starting.Lock()
	defer starting.Unlock()
	dir, err := os.MkdirTemp("", "mailwright-e2e-")
	if err != nil {
		return nil, err
	}
	mw, err := testkit.Run(ctx, append([]testkit.Option{
		testkit.WithBackend(backend), testkit.WithPrograms(bin), testkit.WithImages(images(t)), testkit.WithLogDir(filepath.Join(dir, "logs")),
		// A create whose answer was lost is repeated only after six times this, if nothing shows at
		// the vendor.
		testkit.WithEnv("MAILWRIGHT_VENDOR_TIMEOUT=3s"),
	}, further...)...)
	if err != nil {
		return nil, err
	}
	return &env{T: t, System: mw, dir: dir, js: mw.JetStream, db: mw.DB}, nil
}

// undenied fails the test if NATS has denied a service what it needs. One that was left down says
// nothing.
func (s *env) undenied() {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	denied := map[string]bool{}
	for name, url := range s.Endpoints.Services {
		// A container tells others than itself only in its log what it lacks.
		err := stack.Answers(ctx, url+"/readyz", s.Endpoints.CA)
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			denied[name] = true
		}
	}
	if len(denied) == 0 {
		return
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		s.Error(err)
	}
	for name := range denied {
		if text := strings.ToLower(logs[name]); strings.Contains(text, "permissions violation") {
			s.Errorf("%s lacks a permission:\n%s", name, text[strings.Index(text, "permissions violation"):])
		}
	}
}

// clean stops the system and keeps its logs where the test failed.
func (s *env) clean() {
	s.undenied()
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

func (c command) message() *nats.Msg { return c.in(event.DomainOf(c.eventType)) }

// in is the message to one domain, as a cancel needs it.
func (c command) in(domain event.Domain) *nats.Msg {
	return &nats.Msg{
		Subject: topology.CommandSubject("contoso", domain, c.key), Data: []byte(c.data),
		Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {c.id}, "ce-source": {source}, "ce-type": {c.eventType}, "content-type": {"application/json"},
			"ce-traceparent": {"00-" + traceID + "-00f067aa0ba902b7-01"}},
	}
}

// publish stores a message, again and again while NATS is away, as a careful publisher does.
func (s *env) publish(ctx context.Context, m *nats.Msg) error {
	for {
		// a connection that broke tells nobody who waits for an answer on it
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := s.js.PublishMsg(attempt, m)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("publish: %w", errors.Join(err, ctx.Err()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *env) mustPublish(m *nats.Msg) {
	s.Helper()
	if err := s.publish(s.Context(), m); err != nil {
		s.Fatal(err)
	}
}

// outcome waits for the outcome of a command.
func (s *env) outcome(domain event.Domain, id string) event.Event {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), waitTimeout)
	defer cancel()
	subject := topology.EventSubject("contoso", domain, event.OperationID("contoso", source, id))
	consumer, err := s.js.OrderedConsumer(ctx, topology.StreamEvents, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
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
func (s *env) eventually(holds func(ctx context.Context) (missing string)) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), waitTimeout)
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
func (s *env) rows(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := s.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// control reads one of the sandbox's control endpoints.
func (s *env) control(path string, into any) {
	s.Helper()
	if err := s.Vendors.Control(s.Context(), http.MethodGet, path, nil, into); err != nil {
		s.Fatal(err)
	}
}
