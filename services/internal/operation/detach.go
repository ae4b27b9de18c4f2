package operation

import (
	"context"
	"errors"
	"time"

	"github.com/mailwright/mailwright/services/internal/lease"
)

// attemptResult is what an attempt came to.
type attemptResult struct {
	step step
	err  error
}

// attemptOrDetach makes an attempt. One that outlasts ParkAfter is detached: its command is parked,
// or its key's wake-up scheduled anew, its message is acknowledged, and the call goes on. If this
// process dies, the wake-up brings the command back.
func (e *Engine) attemptOrDetach(ctx context.Context, t *task) (step, error) {
	t.result = make(chan attemptResult, 1)
	go func() {
		growStack(false)
		t.result <- e.attempt(ctx, t)
	}()
	parkAfter := time.NewTimer(e.cfg.ParkAfter)
	defer parkAfter.Stop()
	select {
	case r := <-t.result:
		return r.step, r.err
	case <-parkAfter.C:
	}
	select {
	case e.detachedSlots <- struct{}{}:
	default: // too many detached calls: this one keeps its slot
		r := <-t.result
		return r.step, r.err
	}
	if err := e.detach(ctx, t); err != nil {
		r := <-t.result
		e.forgetDetached(t)
		return r.step, errors.Join(r.err, err)
	}
	return step{kind: detached}, nil
}

// detach lets the call's message go.
func (e *Engine) detach(ctx context.Context, t *task) error {
	e.detached.Store(t.attempt.ID, t.attempt.address)
	e.publishStartedLate(ctx, t)
	since := lease.Now()
	if err := t.queue.Postpone(ctx, t, e.Now().Add(e.cfg.leaseTime())); err != nil {
		return err
	}
	t.renewal = lease.New(e.cfg.leaseTime(), since)
	if !t.handler.NotRepeatable { // the lease of the others is their announcement
		t.attempt.lease.Store(t.renewal)
	}
	t.ack()
	return nil
}

// finishDetached renews the wake-up until the detached call has ended, and then has its key go on.
func (e *Engine) finishDetached(ctx context.Context, t *task) {
	r := e.renewUntilEnd(ctx, t)
	e.forgetDetached(t)
	// zero: now. The wake-up finds the operation finished and goes on with the next.
	at := r.step.at
	if r.err != nil {
		e.cfg.Log.Warn("a slow call could not be recorded; its key is woken by the schedule", "operation", t.attempt.ID, "error", r.err)
		// the wake-up may have come while the call was under way
		at = e.Now().Add(e.cfg.leaseTime())
	}
	if err := e.parking.scheduleWakeUp(ctx, t.attempt.address, at); err != nil {
		e.cfg.Log.Warn("a key could not be woken; the schedule will", "operation", t.attempt.ID, "error", err)
	}
}

const (
	renewalsPerLease  = 3
	renewalRetryAfter = time.Second
)

// renewUntilEnd keeps the wake-up of a detached call in the future until the call has ended. A
// renewal that fails is repeated soon: two thirds of the lease after the last confirmed one, the
// call is broken off.
func (e *Engine) renewUntilEnd(ctx context.Context, t *task) attemptResult {
	pause := e.cfg.leaseTime() / renewalsPerLease
	renew := time.NewTimer(pause)
	defer renew.Stop()
	for {
		select {
		case r := <-t.result:
			return r
		case <-renew.C:
			sent := lease.Now()
			if err := e.parking.scheduleWakeUp(ctx, t.attempt.address, e.Now().Add(e.cfg.leaseTime())); err != nil {
				e.cfg.Log.Warn("the lease of a slow call could not be renewed", "operation", t.attempt.ID, "error", err)
				renew.Reset(min(pause, renewalRetryAfter))
				continue
			}
			t.renewal.Renew(sent, lease.Now())
			renew.Reset(pause)
		}
	}
}

// forgetDetached gives a detached call's slot back. Its key may be woken from here on.
func (e *Engine) forgetDetached(t *task) {
	e.detached.Delete(t.attempt.ID)
	<-e.detachedSlots
}

// attempt calls the vendor, and records what came of it.
func (e *Engine) attempt(ctx context.Context, t *task) (r attemptResult) {
	defer e.recoverPanic(t, &r.err)
	t.failure = e.runAttempt(ctx, t)
	r.step, r.err = e.stages.record(ctx, t)
	return r
}

// runAttempt runs the stages that may call the vendor, in the span of the attempt.
func (e *Engine) runAttempt(ctx context.Context, t *task) (err error) {
	ctx, end := span(ctx, t.attempt)
	defer func() { end(t.reply, err) }()
	defer func() {
		if t.endCall != nil {
			t.endCall()
		}
	}()
	defer e.recoverPanic(t, &err)
	_, err = run(ctx, t, e.stages.attempt)
	return err
}
