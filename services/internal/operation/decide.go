package operation

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// decide turns a failed attempt into the event that says so, and into the time of the next attempt;
// zero where there is none. Its error means that nothing was decided.
func (e *Engine) decide(ctx context.Context, run *Attempt, last *entry, failed error) (Reply, time.Time, error) {
	domain, now := run.address.Domain, e.Now().UTC()
	if r, ok := errors.AsType[*Rejection](failed); ok {
		return Reply{event.RejectedType(domain), event.RejectedData{Operation: run.Operation, Faults: r.Faults}}, time.Time{}, nil
	}
	if errors.Is(failed, errTooLate) {
		return Reply{event.FailedType(domain), event.FailedData{Operation: run.Operation, Failure: tooLate, Since: before(last.since, now)}}, time.Time{}, nil
	}
	if u, ok := errors.AsType[*unpublishable](failed); ok {
		e.Log.Error("an event can not be published", "operation", run.ID, "type", u.eventType, "error", run.secrets.text(u.cause.Error()))
		return e.giveUp(ctx, run, last, u)
	}
	if u, ok := errors.AsType[*unsettled](failed); ok {
		return e.giveUp(ctx, run, last, u)
	}
	if n, ok := errors.AsType[*noTurn](failed); ok {
		if !run.Settling {
			next := run.beforeExpiry(now.Add(n.after))
			return Reply{event.WaitingType(domain), event.WaitingData{Operation: run.Operation, Reason: event.WaitConcurrencyLimit, Since: cmp.Or(last.since, now), NextAttemptAt: next}}, next, nil
		}
		failed = &failure.Error{Kind: failure.Throttled, RetryAfter: n.after, Text: n.Error()}
	}
	f := failure.Of(failed)
	if f.Kind == failure.Internal {
		e.Log.Warn("attempt failed", "operation", run.ID, "error", run.secrets.text(failed.Error()))
	}
	if run.held { // and still does, whatever stops the looking: the record must go on saying so
		f = &failure.Error{Kind: failure.Suspended, Vendor: f.Vendor, Code: f.Code, Text: f.Text, RetryAfter: f.RetryAfter}
	}
	data := event.FailureData{Kind: string(f.Kind), Vendor: f.Vendor, Code: f.Code, Text: f.Text}
	since := cmp.Or(last.since, now)
	delay, again := e.Retries.next(f, last, now.Sub(since))
	next := now.Add(delay)
	// A question once open stays open until it is settled, whatever stops the reading back, or the
	// repetition before it was sent.
	unsent := run.Open != nil && !run.Settling && again && f.Kind != failure.Unknown && f.Kind != failure.Suspended
	stays := run.Settling && !run.held || unsent
	open := stays || f.Kind == failure.Unknown
	if unsent {
		run.sentAt = last.sentAt
	}
	if stays && run.Open != nil && run.Open.Code != "" { // of the answer, by which the handler decides; the text says what is in the way
		data.Vendor, data.Code = run.Open.Vendor, run.Open.Code
	}
	if settled := run.sentAt.Add(e.CallTimeout).UTC(); f.Kind == failure.Unknown && !e.Handlers[run.Command.Type()].NotRepeatable && next.Before(settled) {
		// it is not read back but repeated: the first write must not come after the second, nor
		// after the next command's
		next = settled
	}
	switch {
	case !again && open:
		return e.giveUp(ctx, run, last, &unsettled{})
	case !again:
		return Reply{event.FailedType(domain), event.FailedData{Operation: run.Operation, Failure: data, Since: before(since, now)}}, time.Time{}, nil
	case open:
		return Reply{event.UnknownType(domain), event.UnknownData{Operation: run.Operation, Failure: data, SentAt: run.sentAt.UTC(), Since: since, NextAttemptAt: next}}, next, nil
	default:
		// what the vendor holds is looked for beyond it
		if f.Kind != failure.Suspended || !e.Handlers[run.Command.Type()].NotRepeatable {
			next = run.beforeExpiry(next)
		}
		return Reply{event.WaitingType(domain), event.WaitingData{Operation: run.Operation, Reason: event.WaitFailure, Failure: &data, Since: since, NextAttemptAt: next}}, next, nil
	}
}

// tooLate is the failure of a command whose expirytime has come before it was begun.
var tooLate = event.FailureData{Kind: string(failure.Unavailable), Code: Expired, Text: errTooLate.Error()}

// giveUp ends an operation of which nobody can tell whether it was carried out: a dead letter for a
// person, and the outcome for those who wait.
func (e *Engine) giveUp(ctx context.Context, run *Attempt, last *entry, why error) (Reply, time.Time, error) {
	if err := e.buryRun(ctx, letter{Reason: OutcomeUnknown, Detail: why.Error(), run: run}); err != nil {
		return Reply{}, time.Time{}, err
	}
	data := event.FailureData{Kind: string(failure.Unknown), Code: OutcomeUnknown, Text: why.Error()}
	return Reply{event.FailedType(run.address.Domain), event.FailedData{Operation: run.Operation, Failure: data, Since: before(last.since, e.Now().UTC())}}, time.Time{}, nil
}

// before gives a time that lies before now, else nil.
func before(t, now time.Time) *time.Time {
	if t.IsZero() || !t.Before(now) {
		return nil
	}
	return &t
}
