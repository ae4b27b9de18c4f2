package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
)

// Names of the parts; the services go by their own, such as "mailbox-svc".
const (
	NATS     = stack.NATS
	Postgres = stack.Postgres
	Sandbox  = stack.Sandbox
)

// Endpoints are where a system's parts are, as the test sees them.
type Endpoints = stack.Endpoints

// System is a running Mailwright.
type System struct {
	Endpoints Endpoints
	// Backend that it runs on: [Containers] or [Embedded].
	Backend Backend
	// Network is the Docker network of its containers, for containers of the test's own; "" on
	// [Embedded].
	Network string
	// NATS is a connection that comes back by itself, JetStream its streams, DB a pool on the
	// database.
	NATS      *nats.Conn
	JetStream jetstream.JetStream
	DB        *pgxpool.Pool
	// Vendors controls the sandbox; nil without one.
	Vendors *Vendors

	opts    options
	parts   parts
	stopped bool
}

// parts are the running parts on a backend.
type parts interface {
	// Kill ends a part at once and leaves it down; Restart brings it back on the same address.
	Kill(name string) error
	Restart(ctx context.Context, name string) error
	// Logs gives each part's log so far.
	Logs(ctx context.Context) (map[string]string, error)
	Stop() error
}

// Start runs a system for a test: it ends the test where that fails, stops the system when the test
// ends, and shows the end of each part's log where the test failed.
func Start(t testing.TB, opts ...Option) *System {
	t.Helper()
	s, err := Run(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.tails())
		}
		if err := s.Stop(); err != nil {
			t.Errorf("testkit: stop: %v", err)
		}
	})
	return s
}

// Run runs a system and returns when every part is ready; ctx bounds the start only. End it with
// [System.Stop]. On an error nothing is left running.
func Run(ctx context.Context, opts ...Option) (*System, error) {
	s, err := run(ctx, newOptions(opts))
	if err != nil {
		return nil, fmt.Errorf("testkit: %w", err)
	}
	return s, nil
}

func run(ctx context.Context, o options) (_ *System, err error) {
	s := &System{opts: o, Backend: o.backend}
	if o.backend == Auto {
		s.Backend = Embedded
		if DockerAnswers(ctx) {
			s.Backend = Containers
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	switch s.Backend {
	case Containers:
		err = s.runContainers(ctx)
	case Embedded:
		err = s.runEmbedded(ctx)
	default:
		err = fmt.Errorf("there is no backend %q", s.Backend)
	}
	if err != nil {
		return nil, err
	}
	if s.DB, err = pgxpool.New(ctx, s.Endpoints.Postgres); err != nil {
		return nil, errors.New("the URL of Postgres is malformed") // the parser's own error quotes from it
	}
	return s, s.connect(ctx)
}

// connect reaches NATS, and creates streams and schema where services have not.
func (s *System) connect(ctx context.Context) (err error) {
	if err := s.reach(ctx, s.Endpoints.NATS); err != nil {
		return err
	}
	return migrations.Migrate(ctx, s.Endpoints.Postgres)
}

// streamsAhead creates the streams before the services start, where none of these does:
// projection-svc is not ready until they are there. A worker makes them by its own settings.
func (s *System) streamsAhead(ctx context.Context, url string) error {
	worker := func(name string) bool { return name != projector }
	if slices.ContainsFunc(s.opts.services, worker) {
		return nil
	}
	return s.reach(ctx, url)
}

const projector = "projection-svc"

// reach connects to NATS, and creates the streams that are missing.
func (s *System) reach(ctx context.Context, url string) (err error) {
	if s.NATS == nil {
		if s.NATS, err = connectNATS(ctx, url); err != nil {
			return err
		}
	}
	if s.JetStream, err = jetstream.New(s.NATS); err != nil {
		return err
	}
	return s.createStreams(ctx)
}

// connectNATS waits until NATS answers or ctx ends. The connection comes back by itself.
func connectNATS(ctx context.Context, url string) (*nats.Conn, error) {
	connected := make(chan struct{}, 1)
	nc, err := nats.Connect(url, nats.Name("testkit"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ConnectHandler(func(*nats.Conn) { connected <- struct{}{} }))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	select {
	case <-connected:
		return nc, nil
	case <-ctx.Done():
		nc.Close()
		return nil, fmt.Errorf("NATS could not be reached: %w", errors.Join(ctx.Err(), nc.LastError()))
	}
}

// createStreams creates those that are missing. Whether what is there will do, the services judge,
// by their own settings.
func (s *System) createStreams(ctx context.Context) error {
	for _, want := range topology.Streams(topology.Config{}) {
		_, err := s.JetStream.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_, err = s.JetStream.CreateStream(ctx, want)
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
	}
	return nil
}

// Kill ends a part at once, as a crash would, and leaves it down until [System.Restart]. What it
// stored stays.
func (s *System) Kill(part string) error { return s.parts.Kill(part) }

// Restart brings a part back that was killed, where it was, and returns when it is ready.
func (s *System) Restart(ctx context.Context, part string) error { return s.parts.Restart(ctx, part) }

// Logs gives what each part has logged so far, by its name.
func (s *System) Logs(ctx context.Context) (map[string]string, error) { return s.parts.Logs(ctx) }

// Stop ends and removes every part. A second call does nothing.
func (s *System) Stop() error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	if s.NATS != nil {
		s.NATS.Close()
	}
	if s.DB != nil {
		s.DB.Close()
	}
	if s.parts == nil {
		return nil
	}
	var errs []error
	if s.opts.logDir != "" {
		errs = append(errs, s.keepLogs())
	}
	return errors.Join(append(errs, s.parts.Stop())...)
}

func (s *System) keepLogs() error {
	logs, err := s.parts.Logs(context.Background())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.opts.logDir, 0o755); err != nil {
		return err
	}
	for part, text := range logs {
		if err := os.WriteFile(filepath.Join(s.opts.logDir, part+".log"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tails is the end of every part's log.
func (s *System) tails() string {
	const lines = 15
	logs, err := s.parts.Logs(context.Background())
	if err != nil {
		return "no logs: " + err.Error()
	}
	var b strings.Builder
	for part, text := range logs {
		all := strings.Split(strings.TrimSpace(text), "\n")
		fmt.Fprintf(&b, "\n--- the end of %s's log\n%s\n", part, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return b.String()
}
