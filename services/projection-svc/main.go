// projection-svc turns the streams into rows: Postgres tables that follow the events, and views over
// them for people and dashboards.
package main

import (
	"context"
	"sync"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/postgres"
	"github.com/mailwright/mailwright/pkg/process"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/projection-svc/internal/projection"
	"github.com/mailwright/mailwright/services/projection-svc/internal/projector"
)

type config struct {
	process.Config
	bus.Server
	DatabaseURL secret.String `name:"database-url" help:"Postgres: postgres://user:password@host:5432/database?sslmode=require." env:"MAILWRIGHT_DATABASE_URL,DATABASE_URL" required:""`
	Migrate     bool          `help:"Bring the database's schema up to date at the start." default:"true" negatable:""`
	MigrateOnly bool          `help:"Bring the database's schema up to date, and end."`
}

func main() {
	process.Main("projection-svc", "Keeps the projections in Postgres from the streams COMMANDS, EVENTS, MAILBOXES and DEAD.", &config{}, run)
}

// sparePool is what the pool allows beyond one connection a projection, for health and standing by.
const sparePool = 4

func run(ctx context.Context, p *process.Process, cfg *config) error {
	projections := projection.List()

	pool, err := postgres.Open(ctx, cfg.DatabaseURL.Reveal(), len(projections)+sparePool)
	if err != nil {
		return err
	}
	p.OnStop("Postgres connections", func(context.Context) error { pool.Close(); return nil })
	p.Starting("Postgres")
	if err := postgres.Wait(ctx, pool, p.Log); err != nil {
		return err
	}
	p.Starting("the schema's migration")
	if cfg.Migrate || cfg.MigrateOnly {
		if err := postgres.Migrate(ctx, cfg.DatabaseURL.Reveal()); err != nil {
			return err
		}
	}
	if cfg.MigrateOnly {
		return nil
	}

	p.Starting("NATS")
	nc, js, err := cfg.Connect(ctx, p.Name, p.Log)
	if err != nil {
		return err
	}
	p.OnStop("NATS connection", func(ctx context.Context) error { return bus.Disconnect(ctx, nc) })

	following, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	p.OnStop("projections", func(context.Context) error { stop(); running.Wait(); return nil })
	p.Check("nats", bus.Connected(nc))
	p.Check("postgres", pool.Ping)
	for _, each := range projections {
		projector := projector.New(each, pool, js, p.Log, projector.DefaultTuning)
		p.Check("projection "+projector.Name(), projector.Ready)
		running.Go(func() { projector.Run(following) })
	}
	return p.Wait(ctx)
}
