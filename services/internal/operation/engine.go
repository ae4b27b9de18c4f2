package operation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// Config is what a service brings to its engine.
type Config struct {
	Domain   event.Domain
	Handlers map[string]Handler // by type of command
	// Retries overrides [DefaultRetries] kind by kind.
	Retries Retries
	// CallTimeout bounds one attempt at the vendor; an attempt of which nothing was heard for so
	// long counts as lost. Default 60 s. Each renewal of a call that goes on counts anew.
	CallTimeout time.Duration
	// ParkAfter is how long a command may keep one of the places of its partition, and so other keys,
	// waiting: for its vendor's answer or for a short retry. After that its key is parked. Default
	// 2 s.
	ParkAfter time.Duration
	// RebalanceInterval is how long a replica keeps a partition for which another waits, at least; see
	// [bus.SubscriberConfig]. Default 30 s.
	RebalanceInterval time.Duration
	// RecheckAfter is how old a command is when it is looked at once more, in case it was lost; and
	// how much too late a key that waits may be woken. Default 10 minutes.
	RecheckAfter time.Duration
	// Operators are, by tenant, the sources whose operation.cancel may end every operation of the
	// tenant. Others may end those of their own source.
	Operators map[string][]string
	// StrictKeys names the tenants whose commands are rejected where their key is not the
	// recommended one.
	StrictKeys map[string]bool
	// Budget limits each tenant's and each vendor's calls; the zero value does not.
	Budget Budget
	JS     jetstream.JetStream
	Log    *slog.Logger
	// WallClock is this machine's clock, of which only differences count: the time is the NATS
	// server's. nil is time.Now.
	WallClock func() time.Time
	// Failpoints are those of the guarantee suite; none in a released program.
	Failpoints failpoint.Set
}

func (c Config) withDefaults() Config {
	if c.Failpoints.Disabled(failpoint.Detach) {
		c.ParkAfter = time.Hour
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 60 * time.Second
	}
	if c.ParkAfter == 0 {
		c.ParkAfter = 2 * time.Second
	}
	if c.RecheckAfter == 0 {
		c.RecheckAfter = 10 * time.Minute
	}
	c.Retries = DefaultRetries.with(c.Retries)
	return c
}

// Engine takes one domain's commands through their lives.
type Engine struct {
	Config
	clock   *bus.Clock
	record  *record
	parking *parking
	budgets *budgets
	// places bounds the commands that wait for their turn or for their vendor, within Hold.
	places chan struct{}
	// room bounds the calls that go on after their command has left its place.
	room chan struct{}
	// kept is how long COMMANDS keeps a command; 0: for ever.
	kept time.Duration
	// intake ends when no more commands are to be begun.
	intake context.Context
	// underWay holds the operations of detached calls: a wake-up that comes too soon does not begin
	// them again here.
	underWay sync.Map
	// behind are the goroutines that publish beside an attempt.
	behind sync.WaitGroup
	// life ends when a stop has waited long enough for what is in flight.
	life context.Context
	end  context.CancelFunc
}

// mostDetached bounds the calls that outlast Hold in one process, and so its memory. Beyond it a
// slow call keeps its place.
const mostDetached = 256

// mostPlaces is how many of those there are: a rush of quick calls then ends before its last has
// waited for a turn so long that it is parked. What only reads or publishes needs no place; the
// more share a request to JetStream, the less it costs each.
const mostPlaces = 256

// place is one of those, while it is taken.
type place struct {
	of    chan struct{}
	taken atomic.Bool
}

// take waits for one, and reports whether it had to.
func (p *place) take(of chan struct{}) (waited bool) {
	select {
	case of <- struct{}{}:
	default:
		of <- struct{}{}
		waited = true
	}
	p.of = of
	p.taken.Store(true)
	return waited
}

// leave gives it up, if it is taken.
func (p *place) leave() {
	if p.taken.Swap(false) {
		<-p.of
	}
}

// New returns an Engine. It reads and writes the streams COMMANDS, EVENTS, PARKED and DEAD, which
// must exist.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{Config: cfg.withDefaults(), room: make(chan struct{}, mostDetached), places: make(chan struct{}, mostPlaces), intake: context.WithoutCancel(ctx)}
	e.life, e.end = context.WithCancel(context.WithoutCancel(ctx))
	streams := map[string]jetstream.Stream{}
	for _, name := range []string{topology.StreamCommands, topology.StreamEvents, topology.StreamParked} {
		s, err := cfg.JS.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		streams[name] = s
	}
	e.kept = streams[topology.StreamCommands].CachedInfo().Config.MaxAge
	var err error
	if e.clock, err = bus.NewClock(ctx, streams[topology.StreamCommands], cfg.WallClock); err != nil {
		return nil, err
	}
	e.record = &record{js: cfg.JS, events: bus.NewLastMessageReader(cfg.JS, streams[topology.StreamEvents]), source: Source(cfg.Domain), name: rand.Text(), failpoints: e.Failpoints, now: e.Now, unguarded: e.Failpoints.Disabled(failpoint.Guard)}
	e.parking = &parking{
		js: cfg.JS, parked: streams[topology.StreamParked], latest: bus.NewLastMessageReader(cfg.JS, streams[topology.StreamParked]), commands: streams[topology.StreamCommands], failpoints: e.Failpoints, now: e.Now,
	}
	e.budgets = newBudgets(cfg.Budget, e.ParkAfter/2)
	return e, nil
}

// Now is the time by the NATS server's clock.
func (e *Engine) Now() time.Time { return e.clock.Now() }

// Source is the CloudEvents source of a domain's results.
func Source(d event.Domain) string { return "https://mailwright.io/" + string(d) + "-svc" }

// command takes one command that COMMANDS delivered through its life, as far as that goes now.
// Those of a key must come one after another. nil settles the message, and settle does before that;
// an error brings it back, after the delay of a [*later].
func (e *Engine) command(ctx context.Context, d bus.Delivery, settle func()) error {
	defer e.Failpoints.Reach(failpoint.Acknowledge)
	run, err := e.read(d)
	if err != nil {
		return e.bury(ctx, unreadable(err), d)
	}
	run.lease.Store(d.Lease())
	at, err := e.standing(run)
	if err == nil && run.place.take(e.places) {
		at, err = e.standing(run) // as it is by now
	}
	defer run.place.leave()
	if u, ok := errors.AsType[*recordUnreadable](err); ok {
		return e.withoutRecord(ctx, run, d.NumDelivered, u)
	}
	if err != nil {
		return err
	}
	err = e.proceed(ctx, run, at, settle)
	// a delivery that did not end may have parked it
	if err == nil && d.NumDelivered > 1 && at.last.state.Terminal() {
		err = e.rouse(ctx, run.address)
	}
	return err
}

// standing is where a command stands before it is taken up.
type standing struct {
	last   *entry
	parked bool // others of its key wait
}

// standing asks for both at once.
func (e *Engine) standing(run *Attempt) (s standing, err error) {
	if e.Failpoints.Disabled(failpoint.ParkInOrder) {
		s.last, err = e.record.last(run)
		return s, err
	}
	record, others := e.record.ask(run.Tenant, run.address.Domain, run.ID), e.parking.latest.Request(topology.ParkedSubject(run.address))
	if s.last, err = e.record.answer(record); err == nil {
		_, s.parked, err = others.Wait()
	}
	return s, err
}

// proceed takes a command through its life, as far as that goes now.
func (e *Engine) proceed(ctx context.Context, run *Attempt, at standing, settle func()) error {
	switch {
	case at.last.conflicts(run):
		return e.buryRun(ctx, conflict(run))
	case at.last.state.Terminal():
		return nil
	}
	if at.last.sequence == 0 {
		if faults := e.check(run); len(faults) > 0 {
			return e.reject(ctx, run, faults)
		}
		run.checked = true
	}
	switch {
	case run.Command.Type() == event.TypeOperationCancel:
		return e.cancel(ctx, run, at.last)
	case !e.isDue(run, at.last):
		return e.schedule(ctx, run, at.last)
	case at.parked:
		return e.lineUp(ctx, run, at.last)
	default:
		return e.take(ctx, run, at.last, settle)
	}
}

// reject ends an operation whose command is wrong, before it waits for anything.
func (e *Engine) reject(ctx context.Context, run *Attempt, faults []event.Fault) error {
	if p := run.command.Panicked(); p != "" { // our fault: somebody has to look at it
		e.Log.Error("the check of a command's data panicked", "operation", run.ID, "type", run.Command.Type(), "panic", run.secrets.text(p))
		if err := e.buryRun(ctx, letter{Reason: InternalFault, Detail: "its data could not be checked: the check itself failed", run: run}); err != nil {
			return err
		}
	}
	e.Failpoints.Reach(failpoint.PublishOutcome)
	err := e.record.writer(run, &nothing).publish(ctx, event.RejectedType(run.address.Domain), event.RejectedData{Operation: run.Operation, Faults: faults})
	if err != nil {
		return fmt.Errorf("reject operation %s: %w", run.ID, err)
	}
	e.Failpoints.Reach(failpoint.PublishedOutcome)
	return nil
}

// schedule lets a command that is not due yet wait beside the queue of its key, so that it holds
// nobody up. It joins the queue when it is due.
func (e *Engine) schedule(ctx context.Context, run *Attempt, last *entry) error {
	if err := e.parking.schedule(ctx, run); err != nil || last.sequence > 0 {
		return err
	}
	return e.record.writer(run, last).publish(ctx, event.WaitingType(run.address.Domain), event.WaitingData{
		Operation: run.Operation, Reason: event.WaitScheduled, Since: e.Now().UTC(), NextAttemptAt: run.command.NotBefore.UTC(),
	})
}

const (
	// maxRecordReads is how often a record that can not be read is read: another replica may be
	// about to write it anew.
	maxRecordReads = 5
	// firstRecordPause is the time before the second of these. Each pause is twice as long as the
	// last.
	firstRecordPause = 500 * time.Millisecond
)

// withoutRecord brings a command whose record can not be read back a few times, and then gives it
// up: it would hold up its key for ever.
func (e *Engine) withoutRecord(ctx context.Context, run *Attempt, deliveries uint64, why *recordUnreadable) error {
	if deliveries < maxRecordReads || e.Failpoints.Disabled(failpoint.UnreadableRecords) {
		return &later{after: firstRecordPause << min(deliveries, maxRecordReads) >> 1}
	}
	return e.buryRun(ctx, letter{Reason: RecordUnreadable, Detail: why.Error(), run: run})
}

// lineUp parks a command behind those of its key that wait. Should those have been settled in the
// meantime, or was this one parked by a delivery that did not end, nobody else will wake the key:
// it is done here.
func (e *Engine) lineUp(ctx context.Context, run *Attempt, last *entry) error {
	head, parked, err := e.parking.head(ctx, run.address)
	if err != nil {
		return err
	}
	if !parked || !head.isOf(run) {
		if err := e.parking.add(ctx, run); err != nil {
			return err
		}
		if head, parked, err = e.parking.head(ctx, run.address); err != nil || !parked {
			return err // gone already: it was taken up and settled
		}
	}
	if head.isOf(run) {
		return e.parking.wake(ctx, run.address, last.nextAttempt)
	}
	at, _, err := e.parking.rouse(ctx, run.address, e.missed())
	if err != nil || last.sequence > 0 {
		return err
	}
	return e.tellInLine(ctx, run, last, at)
}

// missed is since when a wake-up is overdue that nobody has taken: live ones are within moments.
func (e *Engine) missed() time.Time { return e.Now().Add(-longestLease) }

// rouse wakes a key on which something waits although nothing is going to wake it: a client that
// gave up to park a command may have done so all the same.
func (e *Engine) rouse(ctx context.Context, address topology.Address) error {
	_, parked, err := e.parking.head(ctx, address)
	if err == nil && parked {
		_, _, err = e.parking.rouse(ctx, address, e.missed())
	}
	return err
}

// tellInLine records that a command waits behind others, so that it can be seen, and cancelled; and
// until when they wait.
func (e *Engine) tellInLine(ctx context.Context, run *Attempt, last *entry, at time.Time) error {
	now := e.Now().UTC()
	if at.Before(now) {
		at = now
	}
	return e.record.writer(run, last).publish(ctx, event.WaitingType(run.address.Domain),
		event.WaitingData{Operation: run.Operation, Reason: event.WaitBlockedByKey, Since: now, NextAttemptAt: at.UTC()})
}

// take makes an attempt at a command that has a place.
func (e *Engine) take(ctx context.Context, run *Attempt, last *entry, settle func()) error {
	v, err := e.attemptWithin(run, last, func() error { return e.park(ctx, run, e.Now().Add(e.lease())) }, settle)
	switch {
	case err != nil:
		return err
	case v.detached, v.settled():
		return nil
	}
	if delay := v.nextAttempt.Sub(e.Now()); delay <= e.ParkAfter && run.Operation.Attempt <= quickAttempts {
		return &later{after: delay}
	}
	return e.park(ctx, run, v.nextAttempt)
}

// quickAttempts is how many attempts may be made while a command keeps its place.
const quickAttempts = 3

// park takes a command out of its partition; its key is woken at a time. The wake-up comes first:
// what a client gave up to send may be stored all the same, and a command that waits without one
// would hold its key up.
func (e *Engine) park(ctx context.Context, run *Attempt, at time.Time) error {
	if err := e.parking.wake(ctx, run.address, at); err != nil {
		return err
	}
	if err := e.parking.add(ctx, run); err != nil {
		return err
	}
	if e.Now().Before(at) {
		return nil
	}
	return e.parking.wake(ctx, run.address, at) // the first may have found nothing yet
}

// wake takes up what waits on a key, in order, until nothing is left or the first of it waits
// again. After Hold other keys of the partition have their turn first: so many are worked off side
// by side, and no more. nil settles the wake-up, and settle does before that.
func (e *Engine) wake(ctx context.Context, address topology.Address, settle func()) error {
	for began := time.Now(); ; {
		head, parked, err := e.parking.head(ctx, address)
		if err != nil || !parked {
			return err
		}
		v, err := e.resume(ctx, address, head, settle)
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
		if time.Since(began) > e.ParkAfter {
			return e.parking.wake(ctx, address, e.Now())
		}
	}
}

// resume makes an attempt at a parked command.
func (e *Engine) resume(ctx context.Context, address topology.Address, head parkedCommand, settle func()) (verdict, error) {
	if head.foreign != nil {
		return verdict{}, e.bury(ctx, letter{Reason: Unreadable, Detail: "it waits on a key, and is no reference to a command"},
			bus.Delivery{Stream: topology.StreamParked, Sequence: head.place, Subject: topology.ParkedSubject(address), Data: head.foreign})
	}
	if key, here := e.underWay.Load(head.OperationID); here {
		if key != address { // a duplicate on another key: its end wakes the first key alone
			return verdict{nextAttempt: e.Now().Add(e.lease())}, nil
		}
		return verdict{detached: true}, nil // its end wakes the key
	}
	d, err := e.parking.original(ctx, head)
	if err != nil {
		return verdict{}, err
	}
	if d.Sequence == 0 {
		return verdict{}, e.expire(ctx, address, head, letter{Reason: Expired, Detail: "COMMANDS no longer holds the command that waits"})
	}
	run, err := e.read(d)
	if !e.refersTo(head, address, run) {
		return verdict{}, e.expire(ctx, address, head, letter{Reason: ReferenceMismatch, Detail: "COMMANDS holds another command where the one that waits should be: the stream was restored or made again"})
	}
	if err != nil { // it could be read when it was parked
		return verdict{}, e.expire(ctx, address, head, unreadable(err))
	}
	if wakeUp, ok := bus.DeliveryFrom(ctx); ok {
		run.lease.Store(wakeUp.Lease())
	}
	run.place.take(e.places)
	defer run.place.leave()
	last, err := e.record.last(run)
	if u, ok := errors.AsType[*recordUnreadable](err); ok {
		wakeUp, _ := bus.DeliveryFrom(ctx)
		return verdict{}, e.withoutRecord(ctx, run, wakeUp.NumDelivered, u)
	}
	if err != nil {
		return verdict{}, err
	}
	if last.conflicts(run) {
		return verdict{}, e.bury(ctx, conflict(run), d)
	}
	if last.state.Terminal() {
		return verdict{}, nil
	}
	if !e.isDue(run, last) { // it was queued too early
		return verdict{}, e.schedule(ctx, run, last)
	}
	return e.attemptWithin(run, last, func() error { return e.parking.wake(ctx, address, e.Now().Add(e.lease())) }, settle)
}

// refersTo reports whether a reference is one to the command that was read at its sequence: to the
// same operation, on the same key. run is nil where the command could not be read: then only the
// incarnation tells. A stream that was made again while this process ran may have references of
// either incarnation.
func (e *Engine) refersTo(head parkedCommand, address topology.Address, run *Attempt) bool {
	switch {
	case e.Failpoints.Disabled(failpoint.References):
		return true
	case run == nil:
		return head.Incarnation == e.parking.incarnation()
	default:
		return run.ID == head.OperationID && run.address == address
	}
}
