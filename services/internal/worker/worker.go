// Package worker has what the four services that carry out commands have in common: their settings,
// and the steps of their start.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/metrics"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/internal/provision"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Config holds a worker's settings. Its tenants stand in the YAML file only.
type Config struct {
	process.Config
	bus.ConnFlags
	Partitions     int           `help:"Parts into which the keys of a domain are spread, each held by one replica at a time, where the streams are created; 'mailwright streams apply' changes it." default:"8"`
	Replicas       int           `name:"stream-replicas" help:"Servers that hold each stream, where the streams are created: 1, 3 or 5." default:"1"`
	StreamMaxBytes int64         `help:"How large each stream may grow, in bytes, where the streams are created and the section streams of the file says nothing; 0: unlimited." default:"0"`
	VendorTimeout  time.Duration `help:"How long one request to a vendor may take, where its limits in the configuration name no timeout." default:"60s"`
	ParkAfter      time.Duration `help:"How long a command may keep a slot, waiting for its vendor or a short retry, before its key is parked." default:"2s"`
	// RebalanceInterval is the shortest tenure of a partition.
	RebalanceInterval time.Duration `help:"How long this replica keeps a partition for which another waits, at least; at most twice as long." default:"30s"`
	RecheckAfter      time.Duration `help:"How long after its arrival each command is checked once more, for one that has no outcome and is not delivered any more." default:"10m"`
	SecretAge         time.Duration `help:"How long a command that holds a secret, plain or sealed, stays in COMMANDS after its outcome; 0: it is removed at once. Other values take effect at the recheck, so up to --recheck-after later." default:"0s"`
	TenantConcurrency int           `help:"How many commands of one tenant may be under way at one vendor in this process; 0: any number." default:"24"`
	VendorConcurrency int           `help:"How many commands may be under way at one vendor in this process, of 256 that may outlast --park-after; 0: any number." default:"128"`
	failpoint.Flags
}

// requestsPerAttempt is how many requests an attempt at a create makes, one after another: look up,
// create, read back.
const requestsPerAttempt = 3

// PageTimeout is how long a listing waits for a page of a vendor that does not answer.
const PageTimeout = 2 * time.Minute

// HTTP gives the bounds of the calls to a vendor whose own limits name none.
func (c *Config) HTTP() transport.Config { return transport.Config{Timeout: c.VendorTimeout} }

// Dependencies are what a service makes its handlers from.
type Dependencies struct {
	Config  *Config
	Tenants tenant.Tenants
	JS      jetstream.JetStream
	Log     *slog.Logger
}

// Handlers builds a service's handlers, by type of command.
type Handlers func(Dependencies) (map[string]operation.Handler, error)

// Main runs the service of one domain until it is asked to stop.
func Main(domain event.Domain, description string, handlers Handlers) {
	process.Main(string(domain)+"-svc", description, &Config{}, func(ctx context.Context, p *process.Process, cfg *Config) error {
		return run(ctx, p, cfg, domain, handlers)
	})
}

func run(ctx context.Context, p *process.Process, cfg *Config, domain event.Domain, handlers Handlers) error {
	tenants, err := tenant.Load(cfg.Config.Config)
	if err != nil {
		return err
	}
	p.Starting("NATS")
	nc, js, err := cfg.Connect(ctx, p.Name, p.Log)
	if err != nil {
		return err
	}
	p.OnStop("NATS connection", func(ctx context.Context) error { return bus.Disconnect(ctx, nc) })
	p.Starting("the streams")
	limits, err := provision.Limits(cfg.Config.Config)
	if err != nil {
		return err
	}
	wanted := topology.Config{Partitions: cfg.Partitions, Replicas: cfg.Replicas, MaxBytes: cfg.StreamMaxBytes, Limits: limits}
	if err := topology.Ensure(ctx, js, wanted); err != nil {
		return errors.Join(err, bus.Denied(nc))
	}
	d := Dependencies{Config: cfg, Tenants: tenants, JS: js, Log: p.Log}
	metrics.SetTenants(tenants.Names())
	table, err := handlers(d)
	if err != nil {
		return err
	}
	if err := CheckHandlers(domain, table); err != nil {
		return err
	}
	config, err := engineConfig(domain, table, d)
	if err != nil {
		return err
	}
	engine, err := operation.New(ctx, config)
	if err != nil {
		return err
	}
	p.Check("nats", bus.ReadyCheck(nc))
	p.Check("streams", streams(js))
	p.Measure(engine.Measure)
	p.Log.Info("serving", "tenants", tenants.Names())
	// Serve returns when ctx has ended and no message is in flight; only then is the connection
	// closed.
	if err := engine.Serve(ctx); err != nil {
		return errors.Join(fmt.Errorf("serve %s: %w", domain, err), bus.Denied(nc))
	}
	return nil
}

// CheckHandlers returns an error if a type of command of the domain has no handler: each such
// command would be rejected.
func CheckHandlers(domain event.Domain, handlers map[string]operation.Handler) error {
	for _, t := range event.CommandTypes() {
		if _, ok := handlers[t]; !ok && event.DomainOf(t) == domain {
			return fmt.Errorf("%s-svc has no handler for %s", domain, t)
		}
	}
	return nil
}

// engineConfig gives the engine what the flags and the tenants' file say. Its error is about a file
// of keys.
func engineConfig(domain event.Domain, handlers map[string]operation.Handler, d Dependencies) (operation.Config, error) {
	secrets, err := secretsOf(d.Tenants, handlers, d.Log)
	if err != nil {
		return operation.Config{}, err
	}
	cfg := d.Config
	return operation.Config{
		Domain:            domain,
		Handlers:          handlers,
		CallTimeout:       requestsPerAttempt * d.Tenants.MaxTimeout(cfg.VendorTimeout),
		ParkAfter:         cfg.ParkAfter,
		RebalanceInterval: cfg.RebalanceInterval,
		RecheckAfter:      cfg.RecheckAfter,
		SecretAge:         cfg.SecretAge,
		Operators:         d.Tenants.Operators(),
		StrictKeys:        d.Tenants.StrictKeys(),
		Secrets:           secrets,
		Tenants:           len(d.Tenants),
		Budget:            operation.Budget{Tenant: cfg.TenantConcurrency, Vendor: cfg.VendorConcurrency},
		JS:                d.JS,
		Log:               d.Log,
		WallClock:         cfg.WallClock(),
		Failpoints:        cfg.Set(),
	}, nil
}
