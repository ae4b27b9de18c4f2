// projection-svc turns the streams into rows: Postgres tables that follow the events, and views
// over them for people and dashboards.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/projection-svc/internal/drift"
)

type config struct {
	process.Config
	bus.ConnFlags
	DatabaseURL secret.String        `name:"database-url" help:"Postgres: postgres://user:password@host:5432/database?sslmode=verify-full." env:"MAILWRIGHT_DATABASE_URL,DATABASE_URL" required:""`
	History     projection.Retention `embed:""`
	Migrate     bool                 `help:"Bring the database's schema up to date at the start." default:"true" negatable:""`
	MigrateOnly bool                 `help:"Bring the database's schema up to date, and end."`
	failpoint.Flags
}

func main() {
	process.Main("projection-svc", "Keeps the projections in Postgres from the streams COMMANDS, EVENTS, MAILBOXES, DEAD and AUDIT.", &config{}, run)
}

// memoryLimit is where the heap is collected keenly. What projections hold is bounded (package
// projector), but garbage is not: at full load it is several times that. The process takes up to 20
// MiB more.
const memoryLimit = 76 << 20

// sparePool is what the pool allows beyond one connection a stream, for health and standing by.
const sparePool = 4

func run(ctx context.Context, p *process.Process, cfg *config) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	streams := projector.ByStream(projection.WithRetention(cfg.History))

	pool, err := postgres.Open(ctx, cfg.DatabaseURL.Reveal(), len(streams)+sparePool)
	if err != nil {
		return err
	}
	p.OnStop("Postgres connections", func(context.Context) error { pool.Close(); return nil })
	postgres.WarnOfPlainText(pool, p.Log)
	p.Starting("Postgres")
	if err := postgres.Wait(ctx, pool, p.Log); err != nil {
		return err
	}
	p.Starting("the schema's migration")
	if cfg.Migrate || cfg.MigrateOnly {
		if err := migrations.Migrate(ctx, cfg.DatabaseURL.Reveal()); err != nil {
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
	p.Check("nats", bus.ReadyCheck(nc))
	p.Check("postgres", postgres.Ready(pool))
	p.Measure(func(context.Context) { postgres.Measure(pool) })
	tuning := projector.DefaultTuning
	tuning.Failpoints = cfg.Set()
	for _, each := range streams {
		projector := projector.New(each, pool, js, p.Log, tuning)
		for _, name := range projector.Names() {
			p.Check("projection "+name, projector.Ready)
		}
		p.Measure(projector.Measure)
		running.Go(func() { projector.Run(following) })
	}
	drifts := drift.Publisher{Pool: pool, JS: js, Log: p.Log, Every: time.Second}
	running.Go(func() { drifts.Run(following) })
	return p.Wait(ctx)
}
