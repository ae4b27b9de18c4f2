package operation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

const (
	// maxSlots bounds the commands that one process works on at once, of those in flight in each
	// partition. Commands that would only wait for a call of their tenant or vendor take none: they
	// are not started.
	maxSlots = 256
	// maxDetached bounds the calls of one process that outlast ParkAfter, and so its memory. Beyond
	// it a slow call keeps its slot.
	maxDetached = 256
)

// Engine takes one domain's commands through their lives.
type Engine struct {
	cfg   Config
	clock *bus.Clock
	// secretsExpected says that commands of the domain may hold secrets.
	secretsExpected bool
	records         *records
	parking         *parking
	budgets         *budgets
	stages          pipeline
	// slots and detachedSlots are counting semaphores: see maxSlots and maxDetached.
	slots, detachedSlots chan struct{}
	// detached holds the keys of detached calls by operation: a wake-up that comes too early does
	// not begin such an operation a second time here.
	detached sync.Map
	// background has the goroutines that publish beside an attempt.
	background sync.WaitGroup
	// stopping ends when a stop begins: nothing waits in its slot any longer.
	stopping context.Context
	stop     context.CancelFunc
	// subscribed delivers the commands, once Serve has begun.
	subscribed atomic.Pointer[bus.Subscriber]
	// rechecking counts the commands that are being rechecked.
	rechecking atomic.Int32
}

// New returns an Engine. It reads and writes the streams COMMANDS, EVENTS, PARKED and DEAD, which
// must exist.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	streams := map[string]jetstream.Stream{}
	for _, name := range []string{topology.StreamCommands, topology.StreamEvents, topology.StreamParked} {
		s, err := cfg.JS.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		streams[name] = s
	}
	commands, parked := streams[topology.StreamCommands], streams[topology.StreamParked]
	clock, err := bus.NewClock(ctx, commands, cfg.WallClock)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg:             cfg,
		clock:           clock,
		secretsExpected: slices.ContainsFunc(slices.Collect(maps.Keys(cfg.Handlers)), event.MayHoldSecrets),
		records: &records{
			js: cfg.JS, events: bus.NewLastMessageReader(cfg.JS, streams[topology.StreamEvents]),
			source: Source(cfg.Domain), failpoints: cfg.Failpoints, now: clock.Now,
		},
		parking: &parking{
			js: cfg.JS, parked: parked, lastParked: bus.NewLastMessageReader(cfg.JS, parked),
			commands: commands, failpoints: cfg.Failpoints, now: clock.Now,
			overflows: overflows{addedAt: map[topology.Address]time.Time{}},
		},
		budgets:       newBudgets(cfg.Budget, cfg.ParkAfter/2, cfg.limitTimeout()),
		slots:         make(chan struct{}, maxSlots),
		detachedSlots: make(chan struct{}, maxDetached),
	}
	e.stopping, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.stages = e.pipeline()
	metrics.CallsLimit.WithLabelValues("tenant").Set(float64(cfg.Budget.Tenant))
	metrics.CallsLimit.WithLabelValues("vendor").Set(float64(cfg.Budget.Vendor))
	return e, nil
}

// commandsKept is how long COMMANDS keeps a command; 0: for ever. An operator may change it.
func (e *Engine) commandsKept() time.Duration {
	return e.parking.commands.CachedInfo().Config.MaxAge
}

// Now is the time by the NATS server's clock.
func (e *Engine) Now() time.Time { return e.clock.Now() }

// Source is the CloudEvents source of a domain's results.
func Source(d event.Domain) string { return "https://mailwright.io/" + string(d) + "-svc" }

// reach marks a failpoint.
func (e *Engine) reach(p failpoint.Point) { e.cfg.Failpoints.Reach(p) }

// disabled reports whether the guarantee suite has switched a protection off.
func (e *Engine) disabled(p failpoint.Protection) bool { return e.cfg.Failpoints.Disabled(p) }
