// Package projection is `mailwright projection`: it shows the position of each projection, verifies
// its rows against the streams, and rebuilds them.
package projection

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright projection`.
type Command struct {
	Status  Status  `cmd:"" help:"Show position, lag and rate of each projection."`
	Verify  Verify  `cmd:"" help:"Compare the rows with a replay of the streams; name the rows that differ."`
	Rebuild Rebuild `cmd:"" help:"Build the rows again from the streams, beside the live ones, and swap them in."`
}

// servers are the connections that these commands need.
type servers struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	pool *pgxpool.Pool
}

// connect connects to both servers, each within [app.ServerTimeout].
func connect(ctx context.Context, a *app.App) (*servers, error) {
	process.TuneMemory() // a replay reads as much as a service does
	endpoints, err := a.Endpoints()
	if err != nil {
		return nil, err
	}
	connectCtx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	pool, err := postgres.Open(ctx, endpoints.Postgres, replay.Connections())
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(connectCtx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("Postgres does not answer: is 'mailwright dev' running? "+
			"--database-url says where else it is (%w)", err)
	}
	nc, js, err := a.Connect(connectCtx)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &servers{nc, js, pool}, nil
}

func (s *servers) close() {
	s.nc.Close()
	s.pool.Close()
}

// config is that of a replay with progress on standard error.
func (s *servers) config(a *app.App, examples int) replay.Config {
	progress := a.NewProgress()
	return replay.Config{Pool: s.pool, JS: s.js, Log: a.Log, Examples: examples, Progress: func(p replay.Progress) {
		if p.Stage != replay.Replaying {
			p.Done, p.All = 0, 0 // the other stages cannot be measured
		}
		progress.Set(string(p.Stage), p.Done, p.All, "messages")
	}}
}
