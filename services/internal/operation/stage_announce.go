package operation

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// announce publishes the event started before a call that is not repeatable, and before each
// further attempt. If the process dies right after it, the operation is left alone until
// leaseExpiresAt, and then read back or repeated.
func (e *Engine) announce(ctx context.Context, t *task) (step, error) {
	if t.handler.NotRepeatable {
		t.attempt.lease.Store(lease.Until(e.cfg.CallTimeout, lease.Now()))
	}
	if !t.handler.NotRepeatable && t.last.sequence == 0 {
		return step{}, nil
	}
	e.reach(failpoint.Announce)
	if err := t.attempt.writer.append(ctx, event.StartedType(t.attempt.address.Domain), e.startedData(t)); err != nil {
		return step{}, err
	}
	e.reach(failpoint.Announced)
	return step{}, nil
}

// publishStartedLate records that a repeatable call is under way that was not announced, since it
// was the first attempt, and that has outlasted ParkAfter.
func (e *Engine) publishStartedLate(ctx context.Context, t *task) {
	if t.handler.NotRepeatable || !t.attempt.performing.Load() {
		return
	}
	e.reach(failpoint.Announce)
	err := t.attempt.writer.publishIfIdle(ctx, t.last.sequence, event.StartedType(t.attempt.address.Domain), e.startedData(t))
	if err != nil {
		e.log(t.attempt).Warn("that a slow call is under way could not be recorded", "error", err)
	}
}

// startedData says that a call is under way, and until when others leave it alone: one that is not
// repeatable for as long as it may take, another no longer than for a lease.
func (e *Engine) startedData(t *task) event.StartedData {
	alone := e.cfg.leaseTime()
	if t.handler.NotRepeatable {
		alone = e.cfg.CallTimeout
	}
	data := event.StartedData{Operation: t.attempt.Operation, LeaseExpiresAt: e.Now().Add(alone).UTC()}
	if !t.last.since.IsZero() {
		data.Since = &t.last.since
	}
	return data
}
