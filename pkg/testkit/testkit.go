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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
)

// Names of parts. The services have their own names, such as "mailbox-svc".
const (
	NATS     = stack.NATS
	Postgres = stack.Postgres
	Sandbox  = stack.Sandbox
)

// Endpoints are the addresses of a system's parts, as the test sees them.
type Endpoints = stack.Endpoints

// System is a running Mailwright: NATS with the streams, Postgres with the schema, the sandbox, and
// the services.
type System struct {
	Endpoints Endpoints
	// Backend is [Containers] or [Embedded].
	Backend Backend
	// Network is the Docker network of the containers, for containers that the test adds; "" on
	// [Embedded].
	Network string
	// NATS is a connection that reconnects without end, JetStream is on that connection, DB is a
	// pool of connections to the database.
	NATS      *nats.Conn
	JetStream jetstream.JetStream
	DB        *pgxpool.Pool
	// Vendors controls the sandbox; nil if there is none.
	Vendors *Vendors

	opts    options
	parts   parts
	stopped bool
}

// parts are the running parts on a backend.
type parts interface {
	// Kill ends a part at once and leaves it down. Restart starts it again at the same address.
	Kill(name string) error
	Restart(ctx context.Context, name string) error
	// Logs returns the log of each part so far.
	Logs(ctx context.Context) (map[string]string, error)
	// SeedFile is a file with the seed of a NATS user.
	SeedFile(user string) (string, error)
	Stop() error
}

// Start runs a system for a test, and stops it when the test ends. If it cannot be started, the
// test fails at once. If the test fails, the last lines of each part's log are added to the test's
// log.
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

// Run starts a system, and returns when every part is ready. ctx bounds the start only. The caller
// must call [System.Stop]. On an error nothing is left running.
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
	if s.DB, err = s.pool(ctx); err != nil {
		return nil, errors.New("the URL of Postgres is malformed") // the parser's own error quotes from it
	}
	return s, s.connect(ctx)
}

// pool opens the pool of connections to the database. Each connection reads the authority's file
// anew, which may have changed.
func (s *System) pool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.Endpoints.Postgres)
	if err != nil {
		return nil, err
	}
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		now, err := pgx.ParseConfig(s.Endpoints.Postgres)
		if err == nil {
			c.TLSConfig = now.TLSConfig
		}
		return err
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// connect connects to NATS and Postgres, and creates the streams and the schema if no service has.
func (s *System) connect(ctx context.Context) (err error) {
	if err := s.reach(ctx, s.Endpoints.NATS); err != nil {
		return err
	}
	return migrations.Migrate(ctx, s.Endpoints.Postgres)
}

// streamsAhead creates the streams before the services start, if projection-svc runs alone: it is
// not ready without them. The other services create the streams by their own settings.
func (s *System) streamsAhead(ctx context.Context, url string) error {
	worker := func(name string) bool { return name != projector }
	if slices.ContainsFunc(s.opts.services, worker) {
		return nil
	}
	return s.reach(ctx, url)
}

const projector = "projection-svc"

// reach connects to NATS, and creates the streams that do not exist.
func (s *System) reach(ctx context.Context, url string) (err error) {
	if s.NATS == nil {
		if s.NATS, err = connectNATS(ctx, url, s.Endpoints.CA); err != nil {
			return err
		}
	}
	if s.JetStream, err = jetstream.New(s.NATS); err != nil {
		return err
	}
	return s.createStreams(ctx)
}

// connectNATS waits until NATS answers or ctx ends. The connection reconnects without end.
func connectNATS(ctx context.Context, url, ca string) (*nats.Conn, error) {
	connected := make(chan struct{}, 1)
	options := append(trust(ca), nats.Name("testkit"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ConnectHandler(func(*nats.Conn) { connected <- struct{}{} }))
	nc, err := nats.Connect(url, options...)
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

// trust has a connection trust the authorities of a file, if there is one.
func trust(ca string) []nats.Option {
	if ca == "" {
		return nil
	}
	return []nats.Option{nats.RootCAs(ca)}
}

// createStreams creates the streams that do not exist. The services check the settings of the
// others.
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

// Kill ends a part at once, as a crash would. The part is down until [System.Restart]; what it
// stored stays. part is [NATS], [Postgres], [Sandbox] or the name of a service. The error is that
// the system has no such part, or that it could not be ended.
func (s *System) Kill(part string) error { return s.parts.Kill(part) }

// Restart starts a killed part again at the same address, and returns when it is ready. The error
// is that it did not become ready before ctx ended.
func (s *System) Restart(ctx context.Context, part string) error { return s.parts.Restart(ctx, part) }

// Logs returns what each part has logged so far, by the name of the part.
func (s *System) Logs(ctx context.Context) (map[string]string, error) { return s.parts.Logs(ctx) }

// Stop ends and removes every part. A second call does nothing. The error names what could not be
// removed.
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

// tails is the last lines of every part's log.
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
