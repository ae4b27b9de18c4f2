package operation

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// record publishes what the attempt came to: the outcome, or waiting or unknown with the time of
// the next attempt. A short wait for a call is not published. If the process dies right after it,
// the record answers the next delivery.
func (e *Engine) record(ctx context.Context, t *task) (step, error) {
	a := t.attempt
	if n, ok := errors.AsType[*notRecorded](t.failure); ok {
		return step{}, n
	}
	if e.leaseLost(t) {
		e.log(a).Warn("the lease was lost before the vendor was called to write; the command comes back",
			"error", a.secrets.text(t.failure.Error()))
		return step{}, &notRecorded{lease.ErrLost}
	}
	if o, ok := errors.AsType[*overLimitError](t.failure); ok && e.waitsUnseen(t) {
		at := e.Now().Add(o.nextSlotIn)
		if a.Prior == nil { // else it is looked for beyond its expirytime
			at = e.situation(t).beforeExpiry(at)
		}
		return step{postpone, at}, nil
	}
	c, err := e.decide(ctx, t)
	if err != nil {
		return step{}, err
	}
	e.logAttempt(a, c.reply)
	e.reach(failpoint.PublishOutcome)
	err = a.writer.publish(ctx, c.reply.Type, c.reply.Data)
	if u, ok := errors.AsType[*unpublishable](err); ok {
		t.failure = u
		if c, err = e.decide(ctx, t); err == nil {
			err = a.writer.publish(ctx, c.reply.Type, c.reply.Data)
		}
	}
	if err != nil {
		e.readBack(ctx, t, c.reply, err)
		return step{}, fmt.Errorf("publish %s of operation %s: %w", c.reply.Type, a.ID, err)
	}
	e.reach(failpoint.PublishedOutcome)
	if c.next.IsZero() {
		return step{kind: ended}, nil
	}
	return e.waitUntil(t, c.next), nil
}

// decide gives the event to publish: the reply, or what becomes of a failure. A person learns of an
// operation whose outcome nobody can tell before its waiting ends.
func (e *Engine) decide(ctx context.Context, t *task) (conclusion, error) {
	if t.failure == nil {
		return conclusion{reply: t.reply}, nil
	}
	e.logFailure(t)
	c := e.situation(t).conclude(t.failure, e.cfg.Retries)
	if c.deadLetter == "" {
		return c, nil
	}
	return c, e.deadLetterCommand(ctx, t, OutcomeUnknown, c.deadLetter)
}

// logFailure logs what the event will not say.
func (e *Engine) logFailure(t *task) {
	a := t.attempt
	if u, ok := errors.AsType[*unpublishable](t.failure); ok {
		e.log(a).Error("an event cannot be published", "type", u.eventType, "error", a.secrets.text(u.cause.Error()))
		return
	}
	if d := classify(t.failure); d.action == retryByKind && d.failure.Kind == failure.Internal {
		e.log(a).Warn("attempt failed", "error", a.secrets.text(t.failure.Error()))
	}
}

// situation is what the decision about a task's failure depends on beside the failure.
func (e *Engine) situation(t *task) situation {
	return situation{
		operation:   t.attempt.Operation,
		domain:      t.attempt.address.Domain,
		now:         e.Now().UTC(),
		last:        t.last,
		prior:       t.last.priorCall(t.handler),
		called:      t.attempt.performing.Load(),
		sentAt:      t.sentAt,
		repeatable:  !t.handler.NotRepeatable,
		callTimeout: e.cfg.CallTimeout,
		expiry:      t.attempt.command.ExpiryTime,
	}
}

// logAttempt logs what an attempt came to. The key names a person, and the reason may quote one
// from the command or the vendor's answer, so those two are for the level debug alone.
func (e *Engine) logAttempt(a *Attempt, r Reply) {
	log := e.log(a).With("type", a.Command.Type(), "attempt", a.Operation.Attempt, "result", r.Type)
	f, reason := failureOf(r)
	if f == nil {
		log.Info("attempted")
	} else {
		log.Info("attempted", "kind", f.Kind, "vendor", f.Vendor, "code", f.Code)
	}
	log.Debug("the target of the attempt", "key", a.Operation.Key, "reason", a.secrets.text(reason))
}

// failureOf is the failure that a reply tells of, nil for none, and why the attempt was no success.
func failureOf(r Reply) (f *event.FailureData, reason string) {
	switch d := r.Data.(type) {
	case event.WaitingData:
		f = d.Failure
	case event.UnknownData:
		f = &d.Failure
	case event.FailedData:
		f = &d.Failure
	case event.RejectedData:
		return nil, (&Rejection{Faults: d.Faults}).Error()
	}
	if f != nil {
		reason = f.Kind + ": " + f.Text
	}
	return f, reason
}
