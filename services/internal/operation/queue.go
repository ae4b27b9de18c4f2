package operation

import (
	"context"
	"strconv"
	"time"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// queue is where a command came from.
type queue interface {
	// Done lets a command go that needs nothing more.
	Done(context.Context, *task) error
	// Postpone has a command come back at a time, or soon after.
	Postpone(context.Context, *task, time.Time) error
}

// commandQueue is a partition of COMMANDS.
type commandQueue struct{ parking *parking }

// Done does nothing: the message is acknowledged when its handler returns.
func (commandQueue) Done(context.Context, *task) error { return nil }

// Postpone parks the command, and has its key woken at a time. The wake-up comes first: a client
// that gave up to park the command may have done so all the same, and a parked command without a
// wake-up would hold up its key.
func (q commandQueue) Postpone(ctx context.Context, t *task, at time.Time) error {
	address := t.attempt.address
	if err := q.parking.scheduleWakeUp(ctx, address, at); err != nil {
		return err
	}
	if err := q.parking.park(ctx, t.attempt); err != nil {
		return err
	}
	if q.parking.now().Before(at) {
		return nil
	}
	return q.parking.scheduleWakeUp(ctx, address, at) // the first may have found nothing yet
}

// keyQueue is what waits on a key in PARKED, in order. The key's wake-up drains it.
type keyQueue struct{ parking *parking }

// Done removes the command. The wake-up goes on with the next of the key.
func (q keyQueue) Done(ctx context.Context, t *task) error {
	return q.parking.remove(ctx, *t.reference)
}

// Postpone schedules the key's wake-up anew.
func (q keyQueue) Postpone(ctx context.Context, t *task, at time.Time) error {
	return q.parking.scheduleWakeUp(ctx, t.key, at)
}

// onCommand takes a command that COMMANDS delivered through the pipeline. nil acknowledges the
// message, and ack does before that. An error brings it back, after the delay of a
// [redeliverAfter]. The bus delivers the commands of a key one after another.
func (e *Engine) onCommand(ctx context.Context, d bus.Delivery, ack func()) error {
	defer e.reach(failpoint.Acknowledge)
	defer d.ReleasePermit()
	_, err := e.process(ctx, task{
		queue: commandQueue{e.parking}, command: d, deliveries: d.NumDelivered, lease: d.Lease(), ack: ack,
		releasePermit: d.ReleasePermit,
	})
	return err
}

// onWakeUp takes what waits on a key, or in an overflow, through the pipeline, when its wake-up is
// delivered. A wake-up with a body says that a scheduled command is due: it joins the queue of its
// key first.
func (e *Engine) onWakeUp(ctx context.Context, d bus.Delivery, ack func()) error {
	defer e.reach(failpoint.AcknowledgeWakeUp)
	address, ok := topology.ParseWakeSubject(d.Subject)
	if !ok {
		return e.deadLetter(ctx, deadLetter{reason: Unreadable, detail: "its subject is not one of a wake-up"}, d)
	}
	// Anybody may publish a wake-up in another lane than the key's, where another process might
	// work on the key beside this one.
	inItsLane := topology.WakeSubject(address) == d.Subject
	if address.IsOverflow() && inItsLane {
		return e.onOverflow(ctx, address, d, ack)
	}
	if len(d.Data) > 0 {
		if err := e.parking.enqueueDue(ctx, address, d.Data); err != nil {
			return err
		}
	}
	if !inItsLane {
		return e.parking.scheduleWakeUp(ctx, address, e.Now())
	}
	return e.drainKey(ctx, address, d, ack)
}

// RetryHeader is the header of a wake-up that has a wait ended early: the sequence in EVENTS of the
// operation's waiting event. It ends this wait and no later one, so a wake-up that is delivered
// twice, or published twice, makes one attempt.
const RetryHeader = "Mailwright-Retry"

// retriedWait is the waiting event whose wait a wake-up ends; 0: none.
func retriedWait(wakeUp bus.Delivery) uint64 {
	sequence, err := strconv.ParseUint(wakeUp.Header.Get(RetryHeader), 10, 64)
	if err != nil {
		return 0
	}
	return sequence
}

// drainKey takes the commands of a key through the pipeline, in order, until none is left or the
// first has to wait again. After ParkAfter the key is scheduled anew, behind those of the partition
// that have been woken meanwhile.
func (e *Engine) drainKey(ctx context.Context, address topology.Address, wakeUp bus.Delivery, ack func()) error {
	for began := time.Now(); ; {
		head, parked, err := e.parking.head(ctx, address)
		if err != nil || !parked {
			return err
		}
		done, err := e.process(ctx, task{
			queue: keyQueue{e.parking}, reference: &head, key: address, retriedWait: retriedWait(wakeUp),
			deliveries: wakeUp.NumDelivered, lease: wakeUp.Lease(), ack: ack,
		})
		if err != nil || !done {
			return err
		}
		if time.Since(began) > e.cfg.ParkAfter {
			return e.parking.scheduleWakeUp(ctx, address, e.Now())
		}
	}
}
