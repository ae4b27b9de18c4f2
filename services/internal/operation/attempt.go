package operation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// verdict is what an attempt left its operation in: settled, to be tried again at a time, or
// detached, which means that the call has outlasted its place, and that all is done.
type verdict struct {
	nextAttempt time.Time
	detached    bool
}

func (v verdict) settled() bool { return v.nextAttempt.IsZero() && !v.detached }

// attemptWithin makes an attempt. One that outlasts Hold is detached: release parks the command or
// renews its wake-up, settle lets its message go, and the attempt goes on. Should this process die,
// the wake-up brings the command back.
func (e *Engine) attemptWithin(run *Attempt, last *entry, release func() error, settle func()) (verdict, error) {
	w := e.prepare(run, last)
	out := &outlast{Engine: e, run: run, last: last, writer: w, release: release, settle: settle, ended: make(chan struct{})}
	out.done.Add(1)
	hold := time.AfterFunc(e.ParkAfter, out.detach)
	v, err := out.toItsEnd()
	if hold.Stop() {
		return v, err
	}
	out.done.Wait()
	if !out.detached {
		return v, errors.Join(err, out.err)
	}
	e.reattach(run, v, err)
	return verdict{detached: true}, nil
}

// outlast is an attempt that may outlast Hold.
type outlast struct {
	*Engine
	run     *Attempt
	last    *entry
	writer  *writer
	release func() error
	settle  func()
	ended   chan struct{} // closed when the attempt has ended
	done    sync.WaitGroup

	// For whoever has waited for done.
	detached bool
	err      error // of the release
}

// toItsEnd makes the attempt, which a panic ends too.
func (o *outlast) toItsEnd() (verdict, error) {
	defer close(o.ended)
	return o.attempt(o.life, o.run, o.last, o.writer)
}

// detach lets the attempt go on without its place, and keeps its wake-up ahead until it has ended.
func (o *outlast) detach() {
	defer o.done.Done()
	select {
	case o.room <- struct{}{}:
		defer func() { <-o.room }()
	default: // no room for another detached call: this one keeps its place
		return
	}
	o.underWay.Store(o.run.ID, o.run.address)
	defer o.underWay.Delete(o.run.ID)
	o.tellSlow(o.run, o.last, o.writer)
	since := lease.Now()
	if o.err = o.release(); o.err != nil {
		return
	}
	o.detached = true
	held := lease.New(o.lease(), since)
	if !o.Handlers[o.run.Command.Type()].NotRepeatable { // its lease is the announcement
		o.run.lease.Store(held)
	}
	o.settle()
	o.run.place.leave()
	o.keep(held)
}

// keep has the wake-up of a detached attempt stay ahead until that has ended. A renewal that
// fails is repeated soon: two thirds of the lease after the last that was confirmed, the attempt
// is broken off.
func (o *outlast) keep(held *lease.Lease) {
	pause := o.lease() / renewalsPerLease
	renew := time.NewTimer(pause)
	defer renew.Stop()
	for {
		select {
		case <-o.ended:
			return
		case <-renew.C:
			sent := lease.Now()
			err := o.parking.wake(o.life, o.run.address, o.Now().Add(o.lease()))
			if err != nil {
				o.Log.Warn("the lease of a slow call could not be renewed", "operation", o.run.ID, "error", err)
				renew.Reset(min(pause, retryRenewal))
				continue
			}
			held.Renew(sent, lease.Now())
			renew.Reset(pause)
		}
	}
}

const (
	renewalsPerLease = 3
	retryRenewal     = time.Second
)

// reattach settles what a detached attempt came to: its key goes on at once, or waits for the next
// attempt.
func (e *Engine) reattach(run *Attempt, v verdict, err error) {
	at := v.nextAttempt // zero: now; the wake finds the operation settled and goes on with the next
	if err != nil {
		e.Log.Warn("a slow call could not be recorded; its key is woken by the schedule", "operation", run.ID, "error", err)
		at = e.Now().Add(e.lease()) // the scheduled one may have come while the call was under way
	}
	if err := e.parking.wake(e.life, run.address, at); err != nil {
		e.Log.Warn("a key could not be woken; the schedule will", "operation", run.ID, "error", err)
	}
}

// tellSlow records that a call is under way which may be repeated without harm, and was therefore
// not announced.
func (e *Engine) tellSlow(run *Attempt, last *entry, w *writer) {
	if e.Handlers[run.Command.Type()].NotRepeatable || !run.performing.Load() {
		return
	}
	e.Failpoints.Reach(failpoint.Announce)
	if err := w.publishAside(e.life, last.sequence, event.StartedType(run.address.Domain), e.started(run, last)); err != nil {
		e.Log.Warn("that a slow call is under way could not be recorded", "operation", run.ID, "error", err)
	}
}

// prepare makes a command ready for an attempt.
func (e *Engine) prepare(run *Attempt, last *entry) *writer {
	w := e.record.writer(run, last)
	run.emit = w.append
	run.started = func() event.StartedData { return e.started(run, last) }
	run.failpoints = e.Failpoints
	run.Operation.Attempt = last.attempt + 1
	// anything else may be asked for again
	run.held = last.held && e.Handlers[run.Command.Type()].NotRepeatable
	run.Settling = run.held || last.state == event.StateUnknown || last.state == event.StateStarted
	run.sentAt = last.sentAt
	if run.Settling && e.Handlers[run.Command.Type()].NotRepeatable {
		run.Open = &last.failure
	}
	return w
}

// attempt makes one attempt at an operation that has no outcome yet, and records what came of it.
func (e *Engine) attempt(ctx context.Context, run *Attempt, last *entry, w *writer) (verdict, error) {
	if e.Now().Before(last.nextAttempt) {
		return verdict{nextAttempt: last.nextAttempt}, nil
	}
	result, err := e.carryOut(ctx, run, last, w)
	if n, ok := errors.AsType[*notRecorded](err); ok {
		return verdict{}, n
	}
	if e.leaseLost(run, err) {
		e.Log.Warn("the lease was lost before the vendor was called to write; the command comes back", "operation", run.ID, "error", run.secrets.text(err.Error()))
		return verdict{}, &notRecorded{lease.ErrLost}
	}
	var next time.Time
	if err != nil {
		result, next, err = e.decide(ctx, run, last, err)
		if err != nil {
			return verdict{}, err
		}
	}
	e.Log.Info("attempted", "operation", run.ID, "type", run.Command.Type(), "key", run.Operation.Key, "attempt", run.Operation.Attempt, "result", result.Type,
		"reason", run.secrets.text(reasonOf(result)))
	e.Failpoints.Reach(failpoint.PublishOutcome)
	err = w.publish(ctx, result.Type, result.Data)
	if u, ok := errors.AsType[*unpublishable](err); ok {
		if result, next, err = e.decide(ctx, run, last, u); err == nil {
			err = w.publish(ctx, result.Type, result.Data)
		}
	}
	if err != nil {
		e.readBack(run, result, err)
		return verdict{}, fmt.Errorf("publish %s of operation %s: %w", result.Type, run.ID, err)
	}
	e.Failpoints.Reach(failpoint.PublishedOutcome)
	return verdict{nextAttempt: next}, nil
}

// carryOut is the middle of an attempt: check, look up, announce, perform.
func (e *Engine) carryOut(ctx context.Context, run *Attempt, last *entry, w *writer) (result Reply, err error) {
	defer run.place.leave() // to record what came of it takes none
	ctx, end := span(ctx, run)
	defer func() { end(result, err) }()
	// A panic of a handler is a fault of ours, not the end of the service.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler of %s panicked: %v", run.Command.Type(), p)
		}
	}()
	if err := e.mayBegin(run); err != nil {
		return Reply{}, err
	}
	handler := e.Handlers[run.Command.Type()]
	release, err := e.budgets.admit(ctx, run.Tenant, handler.Vendor)
	if err != nil {
		return Reply{}, err
	}
	defer release()
	if run.command.DryRun {
		return plan(ctx, handler, run)
	}
	if handler.NotRepeatable {
		if result, found, err := e.lookUp(ctx, handler, run); err != nil || found {
			return result, err
		}
	}
	if handler.NotRepeatable {
		run.lease.Store(lease.Until(e.CallTimeout, lease.Now()))
	}
	if handler.NotRepeatable || last.sequence > 0 {
		if err := e.announce(ctx, run, last, w); err != nil {
			return Reply{}, err
		}
	}
	// what was open before is settled: it was not carried out, or may be repeated
	run.Settling, run.sentAt = false, e.Now()
	e.Failpoints.Reach(failpoint.Perform)
	run.performing.Store(true)
	if handler.NotRepeatable {
		result, err = e.performOnce(ctx, handler, run)
	} else {
		result, err = e.performRepeatable(ctx, handler, run)
	}
	e.Failpoints.Reach(failpoint.Performed)
	return result, err
}

// performOnce performs what must not be done twice. The call may have been made before a handler
// breaks down, by a panic or an error of which no client has said what it means: then its answer is
// lost.
func (e *Engine) performOnce(ctx context.Context, h Handler, run *Attempt) (result Reply, err error) {
	ctx, cancel := context.WithTimeout(e.leased(ctx, run), e.CallTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler of %s panicked: %v", run.Command.Type(), p)
		}
		if brokeDown(err) {
			e.Log.Error("a handler broke down while its vendor was called", "operation", run.ID, "error", run.secrets.text(err.Error()))
			err = &failure.Error{Kind: failure.Unknown, Vendor: h.Vendor, Text: "an internal error while the vendor was called; the service's log has the details", Cause: err}
		}
	}()
	return h.Perform(ctx, run)
}

// brokeDown reports whether an error is none that a handler returns on purpose.
func brokeDown(err error) bool {
	_, failed := errors.AsType[*failure.Error](err)
	_, rejected := errors.AsType[*Rejection](err)
	_, unrecorded := errors.AsType[*notRecorded](err)
	_, large := errors.AsType[*unpublishable](err)
	return err != nil && !failed && !rejected && !unrecorded && !large
}

// lookUp asks whether the effect is there already. It is an error that a person must see where an
// earlier answer was lost and the vendor can not be read.
func (e *Engine) lookUp(ctx context.Context, h Handler, run *Attempt) (Reply, bool, error) {
	if e.Failpoints.Disabled(failpoint.LookUpFirst) {
		return Reply{}, false, nil
	}
	var result Reply
	var found bool
	err := ErrCannotLookUp
	if h.LookUp != nil {
		e.Failpoints.Reach(failpoint.LookUp)
		result, found, err = h.LookUp(ctx, run)
		e.Failpoints.Reach(failpoint.LookedUp)
	}
	if !run.Settling {
		if errors.Is(err, ErrCannotLookUp) {
			err = nil
		}
		return result, found, err
	}
	switch {
	case err != nil && e.final(err):
		e.Log.Warn("reading back is refused", "operation", run.ID, "error", run.secrets.text(err.Error()))
		return Reply{}, false, &unsettled{run.held}
	case err != nil, found:
	case run.held:
		err = &failure.Error{Kind: failure.Suspended, Vendor: h.Vendor, Text: "the vendor holds the operation for approval; it is looked for again"}
	case e.tooEarly(run):
		err = &failure.Error{Kind: failure.Unknown, Vendor: run.Open.Vendor, Text: "the vendor did not say whether it acted, and the effect is not to be seen yet; it is looked for again"}
	}
	return result, found, err
}

// final reports whether an error can not pass.
func (e *Engine) final(err error) bool {
	_, rejected := errors.AsType[*Rejection](err)
	_, again := e.Retries[failure.Of(err).Kind]
	return rejected || !again || errors.Is(err, ErrCannotLookUp)
}

// tooEarly: a vendor may still be at work on a call that we have given up, so it counts as not
// carried out only when its effect has not shown for twice the time that a call may take.
func (e *Engine) tooEarly(run *Attempt) bool {
	return run.Settling && e.Now().Before(run.sentAt.Add(2*e.CallTimeout))
}

// announce records that the vendor is about to be called. Whoever comes by until leaseExpiresAt
// leaves the operation alone.
func (e *Engine) announce(ctx context.Context, run *Attempt, last *entry, w *writer) error {
	e.Failpoints.Reach(failpoint.Announce)
	if err := w.append(ctx, event.StartedType(run.address.Domain), e.started(run, last)); err != nil {
		return err
	}
	e.Failpoints.Reach(failpoint.Announced)
	return nil
}

// started says that a call is under way, and until when it is left alone: a create for as long as
// it may take; what may be repeated without harm no longer than a sign of life is worth.
func (e *Engine) started(run *Attempt, last *entry) event.StartedData {
	patience := e.CallTimeout
	if !e.Handlers[run.Command.Type()].NotRepeatable {
		patience = e.lease()
	}
	data := event.StartedData{Operation: run.Operation, LeaseExpiresAt: e.Now().Add(patience).UTC()}
	if !last.since.IsZero() {
		data.Since = &last.since
	}
	return data
}

// lease is how long a sign of life is worth: a detached call renews its wake-up thrice within it.
// Should the process die, the command is taken up again when it ends.
func (e *Engine) lease() time.Duration { return min(e.CallTimeout, longestLease) }

const longestLease = 30 * time.Second

// mayBegin says why a command must not be carried out. A call that may have been made is looked for
// all the same.
func (e *Engine) mayBegin(run *Attempt) error {
	if run.Settling {
		return nil
	}
	if !run.checked {
		if faults := e.check(run); len(faults) > 0 {
			return &Rejection{Faults: faults}
		}
	}
	if e.hasExpired(run) {
		return errTooLate
	}
	return nil
}

// errTooLate is the error that a command's expirytime has come before it was begun.
var errTooLate = errors.New("the command's expirytime has come before it was begun")

// unsettled is the error that a lost answer, or what the vendor held, can not be settled by reading
// back.
type unsettled struct{ held bool }

func (u *unsettled) Error() string {
	what := "the vendor's answer was lost"
	if u.held {
		what = "the vendor held the operation for approval"
	}
	return what + ", and the vendor can not be read: a person has to look whether it was carried out"
}

// unpublishable is the error that NATS will never take an event.
type unpublishable struct {
	eventType string
	cause     error
}

func (u *unpublishable) Error() string {
	return u.eventType + " can not be published, since it is too large or can not be encoded: a person has to look what the vendor has done"
}
func (u *unpublishable) Unwrap() error { return u.cause }

// notRecorded is the error that an event could not be published: another replica was faster, or
// JetStream stayed away. Nothing was decided; the message must come back.
type notRecorded struct{ cause error }

func (n *notRecorded) Error() string { return "not recorded: " + n.cause.Error() }
func (n *notRecorded) Unwrap() error { return n.cause }

// plan answers a dry run.
func plan(ctx context.Context, h Handler, run *Attempt) (Reply, error) {
	if h.Plan == nil {
		return Reply{}, Reject(event.AttrDryRun, "can not be answered for "+run.Command.Type())
	}
	p, err := h.Plan(ctx, run)
	if err != nil {
		return Reply{}, err
	}
	return planned(run, p), nil
}

func planned(run *Attempt, p event.Plan) Reply {
	if p.Changes == nil {
		p.Changes = []event.Change{}
	}
	return Reply{Type: event.PlannedType(run.address.Domain), Data: event.PlannedData{Operation: run.Operation, Plan: p}}
}

// reasonOf gives the log what a result says about a failure; "" for a success.
func reasonOf(r Reply) string {
	words := func(f *event.FailureData) string {
		if f == nil {
			return ""
		}
		return f.Kind + ": " + f.Text
	}
	switch d := r.Data.(type) {
	case event.WaitingData:
		return words(d.Failure)
	case event.UnknownData:
		return words(&d.Failure)
	case event.FailedData:
		return words(&d.Failure)
	case event.RejectedData:
		return (&Rejection{Faults: d.Faults}).Error()
	default:
		return ""
	}
}
