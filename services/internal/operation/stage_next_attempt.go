package operation

import (
	"context"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// awaitNextAttempt has a command wait until its record allows the next attempt, and until a
// detached call of the same operation has ended: a duplicate on another key would make the call a
// second time. If the process dies right after it, the message is delivered again.
func (e *Engine) awaitNextAttempt(_ context.Context, t *task) (step, error) {
	if t.callDetached {
		return step{postpone, e.Now().Add(e.cfg.leaseTime())}, nil
	}
	if e.Now().Before(t.last.nextAttempt) && !t.waitIsEnded() {
		return e.waitUntil(t, t.last.nextAttempt), nil
	}
	return step{}, nil
}

// waitIsEnded reports whether a person has ended the wait that the record ends with. A call that
// may still be under way is waited for all the same.
func (t *task) waitIsEnded() bool {
	return t.retriedWait > 0 && t.last.sequence == t.retriedWait && t.last.state == event.StateWaiting
}

// maxSlotRetries is how many attempts of a command may be followed by a retry in its slot.
const maxSlotRetries = 3

// waitUntil has a command wait for its next attempt: in its slot if the time is near, else parked.
func (e *Engine) waitUntil(t *task, at time.Time) step {
	near := at.Sub(e.Now()) <= e.cfg.ParkAfter && t.attempt.Operation.Attempt <= maxSlotRetries
	if near && t.reference == nil {
		return step{retryInSlot, at}
	}
	return step{postpone, at}
}
