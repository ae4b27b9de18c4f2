package operation

import (
	"context"
	"time"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

// limit has a call wait for its tenant's and its vendor's concurrency limits. A command that was
// admitted waits as long as calls end. If the process dies right after it, the message is delivered
// again.
func (e *Engine) limit(ctx context.Context, t *task) (step, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.stopping, cancel)()
	woken := t.reference != nil
	end, err := e.budgets.take(ctx, t.attempt.Tenant, t.handler.Vendor, !woken)
	if err != nil && ctx.Err() != nil {
		return step{}, &notRecorded{&redeliverAfter{}} // at once, to another replica
	}
	if err != nil {
		return step{}, err
	}
	inFlight := metrics.CallsInFlight.WithLabelValues(t.handler.Vendor, metrics.Tenant(t.attempt.Tenant))
	inFlight.Inc()
	t.endCall = func() {
		inFlight.Dec()
		end()
		if t.releasePermit != nil {
			t.releasePermit()
		}
	}
	return step{}, nil
}

// waitsUnseen reports whether a command over a limit has not been due for long: its wait is not
// worth an event.
func (e *Engine) waitsUnseen(t *task) bool {
	due := t.attempt.Operation.ReceivedAt
	for _, at := range []time.Time{t.last.nextAttempt, t.last.written} {
		if at.After(due) {
			due = at
		}
	}
	return e.Now().Before(due.Add(e.cfg.limitTimeout()))
}
