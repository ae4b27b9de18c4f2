package operation

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// Config is what a service brings to its engine.
type Config struct {
	Domain   event.Domain
	Handlers map[string]Handler // by type of command
	// Retries overrides [DefaultRetries] kind by kind.
	Retries Retries
	// CallTimeout bounds one attempt at the vendor; an attempt of which nothing was heard for so long counts as
	// lost. Default 60 s. Each renewal of a call that goes on counts anew.
	CallTimeout time.Duration
	// Hold is how long a command may keep its partition, and so other keys, waiting: for its vendor's answer or for
	// a short retry. After that its key is parked. Default 2 s.
	Hold time.Duration
	// SweepAfter is how old a command is when it is looked at once more, in case it was lost; and how much too late
	// a key that waits may be woken. Default 10 minutes.
	SweepAfter time.Duration
	// Budget limits each tenant's and each vendor's calls; the zero value does not.
	Budget Budget
	JS     jetstream.JetStream
	Log    *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Unsafe switches protections off, for the suite that proves that its checkers find what they prevent. See [Guard] and
	// its sisters.
	Unsafe []string
	// Step, if set, hears of every step just before it is taken. Tests kill the process there.
	Step func(name string)
}

// Protections that Unsafe may name.
const (
	Guard     = "guard"     // events are published under the record's last sequence
	LookUp    = "look-up"   // a create is looked up before it is made or repeated
	Partition = "partition" // a partition hands out one command at a time
	Park      = "park"      // a command lines up behind those of its key that wait
	Hold      = "hold"      // a slow call leaves its partition
	Redaction = "redaction" // secrets are replaced in what leaves the process
	Bury      = "bury"      // what can not be read is dead-lettered
)

func (c Config) unsafe(protection string) bool { return slices.Contains(c.Unsafe, protection) }

func (c Config) withDefaults() Config {
	if c.unsafe(Hold) {
		c.Hold = time.Hour
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 60 * time.Second
	}
	if c.Hold == 0 {
		c.Hold = 2 * time.Second
	}
	if c.SweepAfter == 0 {
		c.SweepAfter = 10 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Step == nil {
		c.Step = func(string) {}
	}
	c.Retries = DefaultRetries.with(c.Retries)
	return c
}

// Engine takes one domain's commands through their lives.
type Engine struct {
	Config
	record  *record
	parking *parking
	budgets *budgets
	// detached are the calls that go on after their command has left its partition; mostDetached bounds them.
	detached sync.WaitGroup
	room     chan struct{}
	// underWay holds the operations of detached calls: a wake-up that comes too soon does not begin them again here.
	underWay sync.Map
	// life ends when a stop has waited long enough for what is in flight.
	life context.Context
	end  context.CancelFunc
}

// mostDetached bounds the calls that outlast Hold in one process, and so its memory. Beyond it a slow call keeps
// its partition.
const mostDetached = 256

// New returns an Engine. It reads and writes the streams COMMANDS, EVENTS, PARKED and DEAD, which must exist.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{Config: cfg.withDefaults(), room: make(chan struct{}, mostDetached)}
	e.life, e.end = context.WithCancel(context.WithoutCancel(ctx))
	streams := map[string]jetstream.Stream{}
	for _, name := range []string{bus.Commands, bus.Events, bus.Parked} {
		s, err := cfg.JS.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		streams[name] = s
	}
	e.record = &record{js: cfg.JS, events: streams[bus.Events], source: Source(cfg.Domain), step: e.Step, now: e.Now, unguarded: e.unsafe(Guard)}
	e.parking = &parking{js: cfg.JS, parked: streams[bus.Parked], commands: streams[bus.Commands], step: e.Step, now: e.Now}
	e.budgets = newBudgets(cfg.Budget, e.Now)
	return e, nil
}

// Source is the CloudEvents source of a domain's results.
func Source(d event.Domain) string { return "https://mailwright.io/" + string(d) + "-svc" }

// Command takes one command that COMMANDS delivered through its life, as far as that goes now. nil settles the message; an
// error brings it back, after the delay of a [*later].
func (e *Engine) Command(ctx context.Context, d bus.Delivery) error {
	run, err := read(d)
	if err != nil {
		return e.bury(ctx, letter{Reason: Unreadable, Detail: err.Error()}, d)
	}
	last, err := e.record.last(ctx, run)
	if err != nil {
		return err
	}
	switch {
	case last.conflicts(run):
		return e.bury(ctx, conflict(run), d)
	case last.state.Terminal():
		return nil
	case run.Command.Type() == event.OperationCancel:
		return e.cancel(ctx, run, last)
	}
	head, parked, err := e.parking.head(ctx, run.address)
	if err != nil {
		return err
	}
	if parked && !e.unsafe(Park) {
		return e.lineUp(ctx, run, last, head)
	}
	return e.take(ctx, run, last)
}

// lineUp parks a command behind those of its key that wait already. Should those have been settled in the meantime, or was this
// one parked by a delivery that did not end, nobody else will wake the key: it is done here.
func (e *Engine) lineUp(ctx context.Context, run *Run, last entry, head parkedCommand) error {
	if head.Sequence != run.sequence {
		if err := e.parking.add(ctx, run); err != nil {
			return err
		}
		var parked bool
		var err error
		if head, parked, err = e.parking.head(ctx, run.address); err != nil || !parked {
			return err // gone already: it was taken up and settled
		}
	}
	if head.Sequence != run.sequence {
		return nil
	}
	return e.parking.wake(ctx, run.address, last.nextAttempt)
}

// take makes an attempt at a command that holds its partition.
func (e *Engine) take(ctx context.Context, run *Run, last entry) error {
	v, err := e.attemptWithin(ctx, run, last, func() error { return e.park(ctx, run, e.Now().Add(e.CallTimeout)) })
	switch {
	case err != nil:
		return err
	case v.detached, v.settled():
		return nil
	}
	if delay := v.nextAttempt.Sub(e.Now()); delay <= e.Hold && run.Operation.Attempt <= quickAttempts {
		return &later{after: delay}
	}
	return e.park(ctx, run, v.nextAttempt)
}

// quickAttempts is how many attempts may be made while a command holds its partition.
const quickAttempts = 3

// park moves a command out of its partition; its key is woken at a time.
func (e *Engine) park(ctx context.Context, run *Run, at time.Time) error {
	if err := e.parking.add(ctx, run); err != nil {
		return err
	}
	return e.parking.wake(ctx, run.address, at)
}

// Wake takes up what waits on a key, in order, until nothing is left or the first of it waits again.
func (e *Engine) Wake(ctx context.Context, address bus.Address) error {
	for {
		head, parked, err := e.parking.head(ctx, address)
		if err != nil || !parked {
			return err
		}
		v, err := e.resume(ctx, address, head)
		switch {
		case err != nil:
			return err
		case v.detached:
			return nil
		case !v.settled():
			return e.parking.wake(ctx, address, v.nextAttempt)
		}
		if err := e.parking.remove(ctx, head); err != nil {
			return err
		}
	}
}

// resume makes an attempt at a parked command.
func (e *Engine) resume(ctx context.Context, address bus.Address, head parkedCommand) (verdict, error) {
	d, err := e.parking.original(ctx, head)
	if err != nil {
		return verdict{}, err
	}
	if d.Sequence == 0 {
		lost := bus.Delivery{Stream: bus.Commands, Sequence: head.Sequence}
		return verdict{}, e.bury(ctx, letter{Reason: Expired, Detail: "COMMANDS no longer holds the command that waits"}, lost)
	}
	run, err := read(d)
	if err != nil {
		return verdict{}, e.bury(ctx, letter{Reason: Unreadable, Detail: err.Error()}, d)
	}
	last, err := e.record.last(ctx, run)
	if err != nil {
		return verdict{}, err
	}
	if last.conflicts(run) {
		return verdict{}, e.bury(ctx, conflict(run), d)
	}
	if last.state.Terminal() {
		return verdict{}, nil
	}
	if _, here := e.underWay.Load(run.ID); here {
		return verdict{detached: true}, nil // its end wakes the key
	}
	return e.attemptWithin(ctx, run, last, func() error { return e.parking.wake(ctx, address, e.Now().Add(e.CallTimeout)) })
}

// read decodes a command and names its operation.
func read(d bus.Delivery) (*Run, error) {
	command, err := event.Decode(d.Header, d.Data)
	if err != nil {
		return nil, err
	}
	address, ok := bus.ParseCommandSubject(d.Subject)
	if !ok {
		return nil, fmt.Errorf("subject %s is not one of a stored command", d.Subject)
	}
	return &Run{
		Command: command,
		Tenant:  event.Extension(command, event.TenantID),
		ID:      event.OperationID(command.Source(), command.ID()),
		Operation: event.OperationData{
			CommandType: command.Type(),
			Key:         address.Key,
			ReceivedAt:  d.Stored.UTC(),
			Attempt:     1,
			Fingerprint: event.Fingerprint(command),
		},
		address:  address,
		sequence: d.Sequence,
		secrets:  secretsOf(command),
	}, nil
}
