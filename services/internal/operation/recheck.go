package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

// rechecker checks every command once more: a consumer of its own delivers each again. Once a
// command is older than RecheckAfter, it must have an outcome, or still be on its way to one. A
// command that is neither was acknowledged by something other than us, for instance by a person
// with a NATS tool, and ends as a dead letter. The rechecker removes commands with secrets that
// have ended; it never calls a vendor.
type rechecker struct{ engine *Engine }

func (r rechecker) name() string { return bus.RecheckConsumer(r.engine.cfg.Domain).Durable }

// subscriber has one topic.
func (r rechecker) subscriber() *bus.Subscriber {
	return bus.NewSubscriber(bus.SubscriberConfig{
		JS: r.engine.cfg.JS,
		Consumer: func(string) (string, jetstream.ConsumerConfig) {
			return topology.StreamCommands, bus.RecheckConsumer(r.engine.cfg.Domain)
		},
		Parallel:     parallelRechecks,
		NakDelay:     nakDelay,
		Malformed:    r.malformed,
		CloseTimeout: stopTimeout,
		Logger:       r.engine.cfg.Log,
	})
}

const (
	// parallelRechecks is how many commands are checked at once. They share the requests for their
	// records, so a rechecker that has fallen behind catches up with any number of commands that a
	// service carries out.
	parallelRechecks = 8
	// recheckShare is the part of its time, one in so many, that each of them is at work. The
	// pauses are maxRecheckPause at most. The rechecker is in no hurry.
	recheckShare    = 4
	maxRecheckPause = 100 * time.Millisecond
	// confirmAfter is when the rechecker looks once more before it calls a command lost: a replica
	// of a stream may lag behind.
	confirmAfter = 250 * time.Millisecond
)

// onCommand checks one command, and has it delivered again while it is on its way. A command that
// is too young waits here until it is not: those behind it are younger still.
func (r rechecker) onCommand(ctx context.Context, d bus.Delivery, _ func()) error {
	e := r.engine
	due := d.StoredAt.Add(e.cfg.RecheckAfter)
	lag := metrics.RecheckLagSeconds.WithLabelValues(string(e.cfg.Domain))
	lag.Set(max(0, e.Now().Sub(due).Seconds()))
	e.rechecking.Add(1)
	defer func() {
		if e.rechecking.Add(-1) == 0 { // else the lag of the last command would stand until the next
			lag.Set(0)
		}
	}()
	if !e.sleepUntil(due) {
		return &redeliverAfter{} // at once, to another replica
	}
	began := time.Now()
	e.reach(failpoint.Recheck)
	err := r.check(ctx, d)
	e.sleep(min((recheckShare-1)*time.Since(began), maxRecheckPause))
	return err
}

func (r rechecker) check(ctx context.Context, d bus.Delivery) error {
	e := r.engine
	a, err := e.decode(d)
	if err != nil {
		if err := r.malformed(ctx, d, err); err != nil {
			return err
		}
		return r.removeUnreadable(ctx, d)
	}
	t := &task{command: d, attempt: a}
	for range 2 {
		if t.last, err = e.records.last(a); isRecordUnreadable(err) {
			return nil // its partition gives it up
		}
		if err != nil {
			return err
		}
		if t.last.conflicts(a) {
			return r.endConflict(ctx, a, d)
		}
		if t.last.state.Terminal() {
			return r.removeSecret(ctx, a, d, t.last.written)
		}
		if !e.isDue(t) {
			return r.reschedule(ctx, t)
		}
		onItsWay, err := r.isOnItsWay(ctx, d, a)
		if err != nil {
			return err
		}
		if onItsWay || !e.sleep(confirmAfter) {
			return &redeliverAfter{e.cfg.RecheckAfter}
		}
	}
	// An erasure takes commands out before their records.
	if d, err := e.parking.readCommand(ctx, parkedCommand{Sequence: d.Sequence}); err != nil || d.Sequence == 0 {
		return err
	}
	detail := "acknowledged without an outcome"
	if t.last.sequence > 0 {
		detail += fmt.Sprintf("; its record ends with %q", t.last.state)
	}
	return e.deadLetter(ctx, deadLetter{reason: AckedWithoutOutcome, detail: detail, attempt: a}, d)
}

// removeUnreadable removes a command that cannot be read, and so may hold a secret, once nothing
// waits before it: a later version of this program may be able to read it.
func (r rechecker) removeUnreadable(ctx context.Context, d bus.Delivery) error {
	if address, ok := topology.ParseCommandSubject(d.Subject); ok {
		for _, queue := range []topology.Address{address.Overflow(), address} {
			waiting, err := r.engine.parking.first(ctx, queue, 1)
			if err != nil {
				return err
			}
			if waiting != nil {
				return &redeliverAfter{r.engine.cfg.RecheckAfter}
			}
		}
	}
	return r.removeSecret(ctx, nil, d, d.StoredAt)
}

// endConflict removes the secret of a command that conflicts with an earlier one, once it has its
// dead letter: it may wait behind others until then.
func (r rechecker) endConflict(ctx context.Context, a *Attempt, d bus.Delivery) error {
	if !r.engine.mayHoldSecret(a, d) {
		return nil
	}
	onItsWay, err := r.isOnItsWay(ctx, d, a)
	if err != nil {
		return err
	}
	if onItsWay {
		return &redeliverAfter{r.engine.cfg.RecheckAfter}
	}
	return r.removeSecret(ctx, a, d, d.StoredAt)
}

// reschedule makes sure that a command which is not due yet has its schedule. It need not be
// checked again: the schedule is as durable as the command. One that may hold a secret is, until
// that is removed: the schedule names one of the messages with the command, and a removal may fail.
func (r rechecker) reschedule(ctx context.Context, t *task) error {
	e := r.engine
	found, err := e.parking.isScheduled(ctx, t.attempt)
	if err != nil {
		return err
	}
	if !found {
		t.attempt.writer = e.records.writer(t.attempt, t.last)
		if err := e.schedule(ctx, t); err != nil {
			return err
		}
	}
	if e.mayHoldSecret(t.attempt, t.command) {
		return &redeliverAfter{e.cfg.RecheckAfter}
	}
	return nil
}

// malformed dead-letters what no partition delivers, and so no partition dead-letters.
func (r rechecker) malformed(ctx context.Context, d bus.Delivery, reason error) error {
	if _, delivered := topology.ParseCommandSubject(d.Subject); delivered {
		return nil
	}
	return r.engine.malformed(ctx, d, reason)
}

// isOnItsWay reports whether a command that has no outcome will be delivered again: by its
// partition, or because it waits in its overflow or on its key. It asks in this order, and the
// record is read afterwards: a command is parked before its message is acknowledged, and has its
// outcome before it is removed from PARKED.
func (r rechecker) isOnItsWay(ctx context.Context, d bus.Delivery, a *Attempt) (bool, error) {
	e := r.engine
	if acked, err := r.isAcked(ctx, d); err != nil || !acked {
		return true, err
	}
	o := a.address.Overflow()
	if run, overflows, err := e.parking.firstRun(ctx, o); err != nil {
		return false, err
	} else if overflows {
		return true, r.wakeOverdue(ctx, o, run.parkedAt)
	}
	head, parked, err := e.parking.head(ctx, a.address)
	if err != nil {
		return false, err
	}
	if !parked {
		return r.isAboutToQueue(ctx, a)
	}
	return true, r.wakeOverdue(ctx, a.address, head.parkedAt)
}

// isAcked reports whether the partition of a command has nothing more to do with it.
func (r rechecker) isAcked(ctx context.Context, d bus.Delivery) (bool, error) {
	e := r.engine
	layout, err := topology.LayoutOf(e.parking.commands.CachedInfo().Config)
	if err != nil {
		return false, err
	}
	place, _ := topology.ParseCommandSubject(d.Subject)
	return bus.CommandAckedThrough(ctx, e.cfg.JS, layout, place, d.Sequence)
}

// isAboutToQueue reports whether a command that is due has yet to join the queue of its key: the
// server is about to publish its wake-up, or a wake-up has appeared that nobody has taken.
func (r rechecker) isAboutToQueue(ctx context.Context, a *Attempt) (bool, error) {
	if a.command.NotBefore.IsZero() {
		return false, nil
	}
	if scheduled, err := r.engine.parking.isScheduled(ctx, a); err != nil || scheduled {
		return scheduled, err
	}
	pending, err := r.engine.parking.pendingWakeUp(ctx, a.address)
	return pending.sequence > 0, err
}

// wakeOverdue wakes a key that should have been woken RecheckAfter ago, or that nothing will wake
// any more, because its schedule was lost.
func (r rechecker) wakeOverdue(ctx context.Context, key topology.Address, parkedAt time.Time) error {
	staleBefore := r.engine.Now().Add(-r.engine.cfg.RecheckAfter)
	if parkedAt.After(staleBefore) {
		return nil
	}
	_, scheduled, err := r.engine.parking.ensureWakeUp(ctx, key, staleBefore)
	if scheduled && err == nil {
		r.engine.cfg.Log.Warn("a wake-up was overdue and has been scheduled again", "tenant", key.Tenant, "domain", key.Domain)
		r.engine.cfg.Log.Debug("the key whose wake-up was overdue", "key", key.Key)
	}
	return err
}
