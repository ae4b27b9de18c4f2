package operation

import (
	"context"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// order parks a command behind those of its key that wait, or that may do so in an overflow. If the
// process dies right after it, the message is delivered again, the command is found parked, and the
// key's wake-up is made sure of.
func (e *Engine) order(ctx context.Context, t *task) (step, error) {
	if t.overflows {
		return step{kind: finished}, e.joinOverflow(ctx, t)
	}
	if !t.keyIsParked {
		return step{}, nil
	}
	return step{kind: finished}, e.queueBehindKey(ctx, t)
}

// queueBehindKey parks a command. If those before it have been finished meanwhile, or if an earlier
// delivery has parked this command already, nothing else will wake the key: it is done here.
//
// That the command waits is published before it is parked. Once it is parked, the key's wake-up may
// carry it out at once: an event published beside that would take the place of its outcome in the
// record, and the command would be carried out again.
func (e *Engine) queueBehindKey(ctx context.Context, t *task) error {
	a := t.attempt
	head, parked, err := e.parking.head(ctx, a.address)
	if err != nil {
		return err
	}
	if parked && head.isOf(a) {
		return e.wakeParked(ctx, t)
	}
	if parked {
		wakesAt, _, err := e.parking.ensureWakeUp(ctx, a.address, e.staleBefore())
		if err != nil {
			return err
		}
		if t.last.sequence == 0 {
			if err := e.publishBlocked(ctx, t, wakesAt); err != nil {
				return err
			}
		}
	}
	if err := e.parking.park(ctx, a); err != nil {
		return err
	}
	if head, parked, err = e.parking.head(ctx, a.address); err != nil || !parked || !head.isOf(a) {
		return err // gone already: it was taken up and finished; or it waits behind others
	}
	return e.parking.scheduleWakeUp(ctx, a.address, t.last.nextAttempt)
}

// wakeParked makes sure of the wake-up of a command that is the first of its key already. A
// schedule that is to come is left alone: it may be the lease of a detached call in another
// replica. An overflow may bring the command again after the time until which its record says that
// it is left alone.
func (e *Engine) wakeParked(ctx context.Context, t *task) error {
	pending, err := e.parking.pendingWakeUp(ctx, t.attempt.address)
	if err != nil || pending.sequence == 0 && pending.at.After(e.Now()) {
		return err
	}
	return e.parking.scheduleWakeUp(ctx, t.attempt.address, t.last.nextAttempt)
}

// publishBlocked records that a command waits behind others of its key, so that it can be seen and
// cancelled; and when the first of them goes on.
func (e *Engine) publishBlocked(ctx context.Context, t *task, wakesAt time.Time) error {
	a, now := t.attempt, e.Now().UTC()
	if wakesAt.Before(now) {
		wakesAt = now
	}
	return a.writer.publish(ctx, event.WaitingType(a.address.Domain), event.WaitingData{
		Operation: a.Operation, Reason: event.WaitBlockedByKey, Since: now, NextAttemptAt: wakesAt.UTC(),
	})
}

// staleBefore is the time before which a wake-up is stale if nobody has taken it: a live one is
// taken within moments.
func (e *Engine) staleBefore() time.Time { return e.Now().Add(-maxLeaseTime) }

// wakeIfParked wakes a key on which something waits although nothing is going to wake it: a client
// that gave up to park a command may have parked it all the same.
func (e *Engine) wakeIfParked(ctx context.Context, address topology.Address) error {
	_, parked, err := e.parking.head(ctx, address)
	if err == nil && parked {
		_, _, err = e.parking.ensureWakeUp(ctx, address, e.staleBefore())
	}
	return err
}
