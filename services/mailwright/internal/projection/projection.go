// Package projection is `mailwright projection`: it shows how far the projections have come, proves
// that their rows are what the streams give, and builds them again.
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

// servers are the two that these commands need.
type servers struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	pool *pgxpool.Pool
}

// connect waits for neither server longer than a person does.
func connect(ctx context.Context, a *app.App) (*servers, error) {
	process.TuneMemory() // a replay reads as much as a service does
	endpoints, err := a.Endpoints()
	if err != nil {
		return nil, err
	}
	soon, cancel := context.WithTimeoutCause(ctx, app.Patience, fmt.Errorf("given up after %v", app.Patience))
	defer cancel()
	pool, err := postgres.Open(ctx, endpoints.Postgres, replay.Connections())
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(soon); err != nil {
		pool.Close()
		return nil, fmt.Errorf("Postgres does not answer: is 'mailwright dev' running? --database-url says where else it is (%w)", err)
	}
	nc, js, err := a.Connect(soon)
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

// config of a replay that tells of its progress.
func (s *servers) config(a *app.App, examples int) replay.Config {
	bar := a.NewBar()
	return replay.Config{Pool: s.pool, JS: s.js, Log: a.Log, Examples: examples, Progress: func(p replay.Progress) {
		if p.Stage != replay.Replaying {
			p.Done, p.All = 0, 0 // nobody can measure the others
		}
		bar.Set(string(p.Stage), p.Done, p.All, "messages")
	}}
}
