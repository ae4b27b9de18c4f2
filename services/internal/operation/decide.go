package operation

import (
	"cmp"
	"errors"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// This file decides what becomes of a failed attempt. Nothing here reads a clock, a record or a
// network: classify names what the error asks for, Retries.next says when to try again, and
// situation.reply makes the event.

// action is what an error asks for.
type action int

const (
	retryByKind action = iota // as [Retries] says for the kind of the failure
	reject                    // the command is wrong
	failExpired               // its expirytime has come before it was begun
	askPerson                 // nobody can tell whether it was carried out
	waitForCall               // too many other calls are under way
)

// decision is what an error means for the operation.
type decision struct {
	action  action
	failure *failure.Error // of retryByKind
	faults  []event.Fault  // of reject
	detail  string         // of askPerson
	after   time.Duration  // of waitForCall: when a call is likely to be free
}

// classify says what an error of a stage asks for. A [notRecorded] decides nothing and does not
// come here: the message is delivered again.
func classify(err error) decision {
	if r, ok := errors.AsType[*Rejection](err); ok {
		return decision{action: reject, faults: r.Faults}
	}
	if errors.Is(err, errExpired) {
		return decision{action: failExpired}
	}
	if u, ok := errors.AsType[*unpublishable](err); ok {
		return decision{action: askPerson, detail: u.Error()}
	}
	if u, ok := errors.AsType[*outcomeUnknown](err); ok {
		return decision{action: askPerson, detail: u.Error()}
	}
	if o, ok := errors.AsType[*overLimitError](err); ok {
		return decision{action: waitForCall, after: o.nextSlotIn}
	}
	return decision{action: retryByKind, failure: failure.Of(err)}
}

// situation is what a reply depends on beside the decision.
type situation struct {
	operation   event.OperationData
	domain      event.Domain
	now         time.Time
	last        *entry        // the record when the attempt began
	prior       *PriorCall    // the call that was in doubt then
	called      bool          // the handler has been called in this attempt
	sentAt      time.Time     // when it was, else when the prior call was
	repeatable  bool          // the handler may be called again without harm
	callTimeout time.Duration // after which a lost call can no longer arrive
	expiry      time.Time     // the command's expirytime; zero: none
}

// conclusion is an event to publish, and when the next attempt is.
type conclusion struct {
	reply Reply
	next  time.Time // zero: the operation has ended
	// deadLetter says why a person has to look; "": nobody has to.
	deadLetter string
}

// conclude decides what becomes of a failed attempt.
func (s situation) conclude(err error, retries Retries) conclusion {
	d := s.withPrior(classify(err))
	return s.reply(d, retries.next(d, s.history()))
}

// history is what the retries depend on.
func (s situation) history() history {
	return history{
		attempts: s.last.attempt,
		failure:  s.last.failure,
		pause:    s.last.nextAttempt.Sub(s.last.written),
		waited:   s.now.Sub(s.since()),
	}
}

// since is when the operation failed first.
func (s situation) since() time.Time { return cmp.Or(s.last.since, s.now) }

// withPrior changes a decision about an attempt whose prior call is still in doubt. The record must
// go on saying so: that the vendor holds the call for approval, or that its answer was lost.
func (s situation) withPrior(d decision) decision {
	if d.action == waitForCall && s.prior != nil && !s.called {
		text := (&overLimitError{d.after}).Error()
		d = decision{action: retryByKind, failure: &failure.Error{Kind: failure.Throttled, RetryAfter: d.after, Text: text}}
	}
	if d.action == retryByKind && s.isHeld() {
		f := d.failure
		d.failure = &failure.Error{Kind: failure.Suspended, Vendor: f.Vendor, Code: f.Code, Text: f.Text, RetryAfter: f.RetryAfter}
	}
	return d
}

// isHeld reports whether the vendor holds the prior call for a person's approval.
func (s situation) isHeld() bool { return s.prior != nil && s.prior.HeldForApproval }

// reply makes the event that a decision leads to.
func (s situation) reply(d decision, n next) conclusion {
	switch d.action {
	case reject:
		return conclusion{reply: Reply{event.RejectedType(s.domain), event.RejectedData{Operation: s.operation, Faults: d.faults}}}
	case failExpired:
		return s.failed(expiredFailure)
	case askPerson:
		return s.failedUnknown(d.detail)
	case waitForCall:
		return s.waiting(event.WaitConcurrencyLimit, nil, s.beforeExpiry(s.now.Add(n.after)))
	default:
		return s.retried(d.failure, n)
	}
}

// retried makes the event of a failure that Retries has decided about.
func (s situation) retried(f *failure.Error, n next) conclusion {
	priorInDoubt := s.priorInDoubt(f.Kind, n.again)
	inDoubt := priorInDoubt || f.Kind == failure.Unknown
	data := event.FailureData{Kind: string(f.Kind), Vendor: f.Vendor, Code: f.Code, Text: f.Text}
	if priorInDoubt && !s.repeatable && s.prior.Failure.Code != "" {
		// The handler decides by the code of the call that is in doubt; the text says what is in
		// the way of settling it.
		data.Vendor, data.Code = s.prior.Failure.Vendor, s.prior.Failure.Code
	}
	switch {
	case !n.again && inDoubt:
		return s.failedUnknown((&outcomeUnknown{}).Error())
	case !n.again:
		return s.failed(data)
	case inDoubt:
		return s.unknown(f.Kind, data, priorInDoubt, n)
	}
	at := s.now.Add(n.after)
	// a held call is looked for beyond the expirytime
	if f.Kind != failure.Suspended || s.repeatable {
		at = s.beforeExpiry(at)
	}
	return s.waiting(event.WaitFailure, &data, at)
}

// priorInDoubt reports whether nobody knows yet, after a failure, whether the prior call took
// effect: its look-up failed, or its repetition was certainly not carried out.
func (s situation) priorInDoubt(kind failure.Kind, again bool) bool {
	if s.prior == nil || s.isHeld() {
		return false
	}
	if !s.called {
		return true
	}
	notCarriedOut := again && kind != failure.Unknown && kind != failure.Suspended
	return !s.repeatable && notCarriedOut
}

// unknown makes the event that a call is in doubt: the prior one, or the one of this attempt.
func (s situation) unknown(kind failure.Kind, data event.FailureData, prior bool, n next) conclusion {
	sentAt, at := s.sentAt, s.now.Add(n.after)
	if prior {
		sentAt = s.prior.SentAt
	}
	if cannotArrive := sentAt.Add(s.callTimeout).UTC(); kind == failure.Unknown && s.repeatable && at.Before(cannotArrive) {
		// It is not read back but repeated: the first write must not come after the second, nor
		// after the next command's.
		at = cannotArrive
	}
	return conclusion{
		reply: Reply{event.UnknownType(s.domain), event.UnknownData{Operation: s.operation, Failure: data, SentAt: sentAt.UTC(), Since: s.since(), NextAttemptAt: at}},
		next:  at,
	}
}

func (s situation) waiting(reason string, f *event.FailureData, at time.Time) conclusion {
	return conclusion{
		reply: Reply{event.WaitingType(s.domain), event.WaitingData{Operation: s.operation, Reason: reason, Failure: f, Since: s.since(), NextAttemptAt: at}},
		next:  at,
	}
}

func (s situation) failed(f event.FailureData) conclusion {
	return conclusion{reply: Reply{event.FailedType(s.domain), event.FailedData{Operation: s.operation, Failure: f, Since: pastOrNil(s.last.since, s.now)}}}
}

// failedUnknown ends an operation of which nobody can tell whether it was carried out: a dead
// letter for a person, and the outcome for those who wait.
func (s situation) failedUnknown(detail string) conclusion {
	c := s.failed(event.FailureData{Kind: string(failure.Unknown), Code: OutcomeUnknown, Text: detail})
	c.deadLetter = detail
	return c
}

// beforeExpiry gives the time of a next attempt, or the command's expirytime if that comes first.
func (s situation) beforeExpiry(at time.Time) time.Time {
	if !s.expiry.IsZero() && s.expiry.Before(at) {
		return s.expiry.UTC()
	}
	return at
}

// expiredFailure is the failure of a command whose expirytime has come before it was begun.
var expiredFailure = event.FailureData{Kind: string(failure.Unavailable), Code: Expired, Text: errExpired.Error()}

// pastOrNil gives a time that lies before now, else nil.
func pastOrNil(t, now time.Time) *time.Time {
	if t.IsZero() || !t.Before(now) {
		return nil
	}
	return &t
}
