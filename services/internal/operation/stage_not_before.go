package operation

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
)

// awaitNotBefore has a command that is not due yet wait beside the queue of its key, so that it
// holds up nobody. It joins the queue when it is due. If the process dies right after it, the
// message is delivered again, and the command scheduled anew.
func (e *Engine) awaitNotBefore(ctx context.Context, t *task) (step, error) {
	if e.isDue(t) {
		return step{}, nil
	}
	return step{kind: finished}, e.schedule(ctx, t)
}

// isDue reports whether a command's notbefore has come. A command of which a call was made stays
// due.
func (e *Engine) isDue(t *task) bool {
	called := t.last.state == event.StateStarted || t.last.state == event.StateUnknown
	return called || !e.Now().Before(t.attempt.command.NotBefore)
}

// schedule schedules a command for its notbefore, and says so in its record if that is empty.
func (e *Engine) schedule(ctx context.Context, t *task) error {
	a := t.attempt
	if err := e.parking.schedule(ctx, a); err != nil || t.last.sequence > 0 {
		return err
	}
	return a.writer.publish(ctx, event.WaitingType(a.address.Domain), event.WaitingData{
		Operation: a.Operation, Reason: event.WaitScheduled, Since: e.Now().UTC(), NextAttemptAt: a.command.NotBefore.UTC(),
	})
}
