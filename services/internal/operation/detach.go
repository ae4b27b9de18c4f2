package operation

import (
	"context"
	"errors"
	"time"

	"github.com/mailwright/mailwright/services/internal/lease"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

// attemptResult is what an attempt came to.
type attemptResult struct {
	step step
	err  error
}

// attemptOrDetach makes an attempt. One that outlasts ParkAfter is detached: its command is parked,
// or its key's wake-up scheduled anew, its message is acknowledged, and the call goes on. If this
// process dies, the wake-up brings the command back.
//
// The attempt stays on its message's goroutine, and the timer's goroutine watches the slow ones:
// with a goroutine for every attempt a command costs a tenth more CPU (BenchmarkPipeline).
func (e *Engine) attemptOrDetach(ctx context.Context, t *task) (step, error) {
	ended, watched := make(chan attemptResult, 1), make(chan attemptResult, 1)
	watch := time.AfterFunc(e.cfg.ParkAfter, func() { watched <- e.watchSlow(ctx, t, ended) })
	r := e.attempt(ctx, t)
	if !watch.Stop() {
		ended <- r
		r = <-watched
	}
	return r.step, r.err
}

// watchSlow detaches an attempt that has outlasted ParkAfter, and returns when it has ended. It
// gives the attempt's result, or that nothing is left to do.
func (e *Engine) watchSlow(ctx context.Context, t *task, ended <-chan attemptResult) attemptResult {
	select {
	case e.detachedSlots <- struct{}{}:
		defer func() { <-e.detachedSlots }()
	default: // too many detached calls: this one keeps its slot
		return <-ended
	}
	inFlight := metrics.DetachedCalls.WithLabelValues(string(e.cfg.Domain))
	inFlight.Inc()
	defer inFlight.Dec()
	e.detached.Store(t.attempt.ID, t.attempt.address)
	renewal, err := e.detach(ctx, t)
	if err != nil {
		r := <-ended
		e.detached.Delete(t.attempt.ID)
		return attemptResult{r.step, errors.Join(r.err, err)}
	}
	r := e.renewUntilEnd(ctx, t, renewal, ended)
	e.detached.Delete(t.attempt.ID) // before its key is woken
	e.wakeKeyAfter(ctx, t, r)
	return attemptResult{step: step{kind: underWay}}
}

// detach lets the attempt's message and its slot go. It returns the lease that keeps other replicas
// away from now on.
func (e *Engine) detach(ctx context.Context, t *task) (*lease.Lease, error) {
	e.publishStartedLate(ctx, t)
	since := lease.Now()
	if err := t.queue.Postpone(ctx, t, e.Now().Add(e.cfg.leaseTime())); err != nil {
		return nil, err
	}
	renewal := lease.New(e.cfg.leaseTime(), since)
	if !t.handler.NotRepeatable { // the lease of the others is their announcement
		t.attempt.lease.Store(renewal)
	}
	t.ack()
	t.releaseSlot()
	return renewal, nil
}

// wakeKeyAfter has the key of a detached attempt go on when that has ended.
func (e *Engine) wakeKeyAfter(ctx context.Context, t *task, r attemptResult) {
	// zero: now. The wake-up finds the operation finished, and goes on with the next.
	at := r.step.at
	if r.err != nil {
		e.log(t.attempt).Warn("a slow call could not be recorded; its key is woken by the schedule", "error", r.err)
		at = e.Now().Add(e.cfg.leaseTime()) // a wake-up may have come while the call was under way
	}
	if err := e.parking.scheduleWakeUp(ctx, t.attempt.address, at); err != nil {
		e.log(t.attempt).Warn("a key could not be woken; the schedule will", "error", err)
	}
}

const (
	renewalsPerLease  = 3
	renewalRetryAfter = time.Second
)

// renewUntilEnd keeps the wake-up of a detached call in the future until the call has ended. A
// renewal that fails is repeated soon: two thirds of the lease after the last confirmed one, the
// call is broken off.
func (e *Engine) renewUntilEnd(ctx context.Context, t *task, renewal *lease.Lease, ended <-chan attemptResult) attemptResult {
	pause := e.cfg.leaseTime() / renewalsPerLease
	renew := time.NewTimer(pause)
	defer renew.Stop()
	for {
		select {
		case r := <-ended:
			return r
		case <-renew.C:
			sent := lease.Now()
			if err := e.parking.scheduleWakeUp(ctx, t.attempt.address, e.Now().Add(e.cfg.leaseTime())); err != nil {
				e.log(t.attempt).Warn("the lease of a slow call could not be renewed", "error", err)
				renew.Reset(min(pause, renewalRetryAfter))
				continue
			}
			renewal.Renew(sent, lease.Now())
			renew.Reset(pause)
		}
	}
}

// attempt calls the vendor, and records what came of it.
func (e *Engine) attempt(ctx context.Context, t *task) (r attemptResult) {
	defer e.recoverPanic(t, &r.err)
	t.failure = e.runAttempt(ctx, t)
	countAttempt(t)
	r.step, r.err = e.stages.record(ctx, t)
	return r
}

// runAttempt runs the stages that may call the vendor, in the span of the attempt.
func (e *Engine) runAttempt(ctx context.Context, t *task) (err error) {
	ctx, end := span(ctx, t.attempt)
	defer func() { end(t.reply, err) }()
	defer t.endCall()
	defer e.recoverPanic(t, &err)
	_, err = run(ctx, t, e.stages.attempt)
	return err
}
