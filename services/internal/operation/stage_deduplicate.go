package operation

import (
	"context"
	"errors"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// deduplicate reads the operation's record: an operation that has its outcome is finished, and
// another command under the same tenant, source and id ends as a dead letter. If the process dies
// right after it, the message is delivered again.
func (e *Engine) deduplicate(ctx context.Context, t *task) (step, error) {
	// Before the record is read: a call that ends after that has its outcome there.
	_, t.callDetached = e.detached.Load(t.attempt.ID)
	err := e.readRecord(t)
	if u, ok := errors.AsType[*recordUnreadable](err); ok {
		return e.withoutRecord(ctx, t, u)
	}
	if err != nil {
		return step{}, err
	}
	switch {
	case t.last.conflicts(t.attempt):
		err = e.deadLetter(ctx, conflict(t.attempt), t.command)
	case !t.last.state.Terminal():
		countReceived(t)
		e.prepare(t)
		return step{}, nil
	}
	// A delivery that did not end may have parked the command.
	if redelivered := t.reference == nil && t.deliveries > 1; err == nil && redelivered && t.last.state.Terminal() {
		err = e.wakeIfParked(ctx, t.attempt.address)
	}
	return step{kind: ended}, err
}

// readRecord reads the record, and for a command that COMMANDS delivered whether others of its key
// wait. Both requests are on their way at once.
func (e *Engine) readRecord(t *task) (err error) {
	if t.reference != nil || e.disabled(failpoint.ParkInOrder) {
		t.last, err = e.records.last(t.attempt)
		return err
	}
	pending := e.records.request(t.attempt.Tenant, t.attempt.address.Domain, t.attempt.ID)
	// In this order: what leaves the overflow is parked before. Else a command between the two
	// would be seen in neither, and this one would overtake it.
	overflow := e.parking.lastParked.Request(topology.ParkedSubject(t.attempt.address.Overflow()))
	parked := e.parking.lastParked.Request(topology.ParkedSubject(t.attempt.address))
	if t.last, err = e.records.wait(pending); err != nil {
		return err
	}
	if _, t.keyIsParked, err = parked.Wait(); err != nil {
		return err
	}
	if _, t.overflows, err = overflow.Wait(); err != nil {
		return err
	}
	t.overflows = t.overflows && !t.wasSetAside
	// A command that was handled before may have been parked. If its record was read before its
	// outcome, and PARKED after it had been removed from there, it would be carried out a second
	// time.
	handled := t.deliveries > 1 || t.wasSetAside || t.last.sequence > 0
	if handled && !t.last.state.Terminal() && !t.keyIsParked && !t.overflows {
		t.last, err = e.records.last(t.attempt)
	}
	return err
}

// prepare makes the command's next attempt of what the record says.
func (e *Engine) prepare(t *task) {
	a := t.attempt
	a.writer = e.records.writer(a, t.last)
	a.started = func() event.StartedData { return e.startedData(t) }
	a.Operation.Attempt = t.last.attempt + 1
	a.Prior = t.last.priorCall(t.handler)
	t.sentAt = t.last.sentAt
}

const (
	// maxRecordReads is how many deliveries of a command may find its record unreadable: another
	// replica may be about to write it anew.
	maxRecordReads = 5
	// firstRecordPause is the time before the second of these. Each pause is twice as long as the
	// one before.
	firstRecordPause = 500 * time.Millisecond
)

// withoutRecord has a command whose record cannot be read delivered again a few times, and then
// dead-letters it: it would hold up its key for ever.
func (e *Engine) withoutRecord(ctx context.Context, t *task, why *recordUnreadable) (step, error) {
	deliveries := t.deliveries
	if deliveries < maxRecordReads || e.disabled(failpoint.UnreadableRecords) {
		return step{}, &redeliverAfter{firstRecordPause << min(deliveries, maxRecordReads) >> 1}
	}
	return step{kind: finished}, e.deadLetterCommand(ctx, t, RecordUnreadable, why.Error())
}
