package explain

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/render"
)

// situation is the facts while they are explained.
type situation struct {
	Facts
	clock   func(time.Time) string
	x       *Explanation
	service string
}

// overdue is how long after its time something may begin before it counts as not happening.
const overdue = time.Minute

// say sets the explanation.
func (s *situation) say(why, help string) {
	s.x.Why, s.x.Help = render.OneLine(why), render.OneLine(help)
}

func (s *situation) explain() {
	state, last := s.last()
	s.x.State = state
	switch state {
	case "":
		s.withoutRecord()
	case event.StateWaiting:
		s.waiting(last)
	case event.StateStarted:
		s.started(last)
	case event.StateUnknown:
		s.unknown(last)
	case event.StateFailed:
		s.failed(last)
	default:
		s.ended(state, last)
	}
}

// last is the event that a record ends with, and the state that it leaves the operation in. An
// event that leaves the state as it was, such as a part of a long answer, counts as started.
func (s *situation) last() (event.State, Event) {
	n := len(s.Events)
	if n == 0 {
		return "", Event{}
	}
	e := s.Events[n-1]
	state, ok := event.StateOf(e.Event)
	if !ok {
		state = event.State(event.Extension(e.Event, event.AttrState))
	}
	if state == event.StateReceived {
		state = event.StateStarted
	}
	return state, e
}

// withoutRecord explains an operation that no service has published an event about.
func (s *situation) withoutRecord() {
	q := s.Queue
	switch {
	case len(s.DeadLetters) > 0:
		s.dead(s.DeadLetters[len(s.DeadLetters)-1])
		return
	case s.Command == nil:
		s.say("nothing is known of it: EVENTS has no record, and COMMANDS no command that waits to be begun",
			"check the tenant, the source and the id, which have to be exactly those of the publisher")
		return
	}
	s.x.State = event.StateReceived
	stored := "it was stored at " + s.clock(s.Command.StoredAt)
	switch {
	case q.Head != "" && q.Head != s.OperationID:
		s.behind()
	case q.Partition < 0:
		s.say(stored+", and its key belongs to no partition, so no service is given it",
			s.service+" dead-letters it at its recheck: publish it with another key")
	case q.Acknowledged && q.SetAside:
		s.say(stored+", and waits with others of its tenant until their calls end (concurrency limit)",
			"nothing has to be done; a higher --tenant-concurrency would help if the vendor can bear it")
	case q.Acknowledged:
		s.say(stored+", and something has acknowledged it without an outcome",
			"its recheck makes a dead letter of it, which can be replayed")
	case !q.Leased:
		s.say(fmt.Sprintf("%s, and no replica of %s has the lease of its partition, %d", stored, s.service, q.Partition),
			"see that "+s.service+" runs; after a crash the lease passes on within 15 seconds")
	case !q.Delivered:
		s.say(fmt.Sprintf("%s, and commands of partition %d that came before it are still at work", stored, q.Partition),
			"nothing has to be done; more replicas of "+s.service+" would help")
	default:
		s.say(fmt.Sprintf("%s, and a replica of %s holds it back until a call of its tenant or vendor is free (concurrency limit)", stored, s.service),
			"nothing has to be done; a higher --tenant-concurrency would help if the vendor can bear it")
	}
}

// behind explains an operation that waits behind another one of its key.
func (s *situation) behind() {
	q := s.Queue
	s.x.BlockedBy = q.Head
	why := "it waits behind operation " + q.Head + ", which is the first of its key"
	if q.HeadWhy != "" {
		why += " (" + q.HeadWhy + ")"
	}
	s.say(why, "once that one has ended it goes on by itself: help that one, or cancel it")
}

func (s *situation) waiting(last Event) {
	var d event.WaitingData
	if !s.read(last, &d) {
		return
	}
	s.next(d.NextAttemptAt)
	if s.Queue.Head != "" && s.Queue.Head != s.OperationID {
		s.behind()
		return
	}
	if d.Reason != event.WaitBlockedByKey && s.isOverdue(d.NextAttemptAt) {
		s.notTaken("its next attempt was due at " + s.clock(d.NextAttemptAt))
		return
	}
	switch d.Reason {
	case event.WaitScheduled:
		s.say("it waits for its time, "+s.clock(d.NextAttemptAt)+", which its publisher asked for (notbefore)",
			"nothing has to be done; until then it can be cancelled")
	case event.WaitConcurrencyLimit:
		s.say("it waits for a free call of its tenant or vendor, whose concurrency limit other calls use up",
			"nothing has to be done; a higher --tenant-concurrency would help if the vendor can bear it")
	case event.WaitBlockedByKey:
		s.say("those of its key that came before it have ended, and it is about to begin", "")
	default:
		s.waitingAfterFailure(d)
	}
}

// waitingAfterFailure explains a wait for the next attempt.
func (s *situation) waitingAfterFailure(d event.WaitingData) {
	if d.Failure == nil {
		s.say("it waits for its next attempt at "+s.clock(d.NextAttemptAt), "")
		return
	}
	f := *d.Failure
	s.givesUp(f, d.Since)
	why := fmt.Sprintf("attempt %d failed: %s; the next is at %s", d.Operation.Attempt, textOf(f), s.clock(d.NextAttemptAt))
	if s.x.GivesUpAt != nil {
		why += ", and it gives up at " + s.clock(*s.x.GivesUpAt) + " at the latest"
	}
	s.say(why, helpWhileWaiting(f))
}

func (s *situation) started(last Event) {
	var d event.StartedData
	if !s.read(last, &d) {
		return
	}
	if !d.LeaseExpiresAt.IsZero() && s.isOverdue(d.LeaseExpiresAt) {
		s.notTaken("its call counts as lost since " + s.clock(d.LeaseExpiresAt))
		return
	}
	s.next(d.LeaseExpiresAt)
	why := fmt.Sprintf("the vendor has been called for attempt %d at %s, and has not answered yet", max(d.Operation.Attempt, 1), s.clock(last.StoredAt))
	if !d.LeaseExpiresAt.IsZero() {
		why += "; without an answer by " + s.clock(d.LeaseExpiresAt) + " the call counts as lost"
	}
	s.say(why, "")
}

func (s *situation) unknown(last Event) {
	var d event.UnknownData
	if !s.read(last, &d) {
		return
	}
	s.next(d.NextAttemptAt)
	if s.isOverdue(d.NextAttemptAt) {
		s.notTaken("its target was to be read back at " + s.clock(d.NextAttemptAt))
		return
	}
	s.givesUp(event.FailureData{Kind: string(failure.Unknown)}, d.Since)
	s.say(fmt.Sprintf("a call was sent at %s and its answer was lost (%s), so that nobody knows yet whether it took effect; its target is read back at %s",
		s.clock(d.SentAt), textOf(d.Failure), s.clock(d.NextAttemptAt)),
		"nothing has to be done while the vendor can be reached: it is never repeated blindly")
}

func (s *situation) failed(last Event) {
	var d event.FailedData
	if !s.read(last, &d) {
		return
	}
	why := fmt.Sprintf("it failed at %s after %s: %s", s.clock(last.StoredAt), render.Count(max(d.Operation.Attempt, 1), "attempt", "attempts"), textOf(d.Failure))
	s.say(why, helpAfterFailure(d.Failure))
}

// ended explains the other outcomes.
func (s *situation) ended(state event.State, last Event) {
	at := s.clock(last.StoredAt)
	switch state {
	case event.StateSucceeded:
		s.say("it was done at "+at+": "+render.Describe(last.Event), "")
	case event.StateCancelled:
		s.say("it was "+render.Describe(last.Event)+" at "+at+", before it was carried out", "send the command under a new id if it is wanted after all")
	case event.StateRejected:
		s.say("it was rejected at "+at+", and nothing was sent to a vendor: "+render.Describe(last.Event),
			"correct what is wrong, and send it under a new id")
	default:
		s.say(fmt.Sprintf("its last event has a type that this version does not know: %s", last.Type()), "use the version of the services")
	}
}

// read reads the data of an event, or says that it cannot be read.
func (s *situation) read(e Event, data any) bool {
	if e.DataAs(data) == nil {
		return true
	}
	s.say(fmt.Sprintf("event %d of its record has data that cannot be read", e.Sequence), "find out which program wrote it")
	return false
}

func (s *situation) next(at time.Time) {
	if !at.IsZero() {
		s.x.NextAttemptAt = &at
	}
}

// givesUp sets when a failure becomes final: at the horizon of its kind, or at the expirytime.
func (s *situation) givesUp(f event.FailureData, since time.Time) {
	var at time.Time
	for _, m := range failure.Meanings() {
		if string(m.Kind) == f.Kind && m.Delays.Horizon > 0 {
			at = since.Add(m.Delays.Horizon)
		}
	}
	mayExpire := s.Command != nil && !s.Command.ExpiryTime.IsZero() && f.Kind != string(failure.Unknown)
	if mayExpire && (at.IsZero() || s.Command.ExpiryTime.Before(at)) {
		at = s.Command.ExpiryTime
	}
	if !at.IsZero() {
		s.x.GivesUpAt = &at
	}
}

func (s *situation) isOverdue(at time.Time) bool { return s.Now.Sub(at) > overdue }

// notTaken explains what should have gone on and does not.
func (s *situation) notTaken(what string) {
	q := s.Queue
	switch {
	case q.Partition >= 0 && !q.Leased:
		s.say(fmt.Sprintf("%s, and no replica of %s has the lease of its partition, %d", what, s.service, q.Partition),
			"see that "+s.service+" runs; after a crash the lease passes on within 15 seconds")
	case q.WakesAt.After(s.Now):
		s.say(what+"; its key is woken at "+s.clock(q.WakesAt), "")
	default:
		s.say(what+", and no replica of "+s.service+" has taken it since", "see that "+s.service+" runs and what it logs; its recheck wakes it after 10 minutes")
	}
}

// dead explains an operation that ended in DEAD.
func (s *situation) dead(l DeadLetter) {
	why := "it was dead-lettered at " + s.clock(l.StoredAt) + " (" + l.Reason
	if l.Detail != "" {
		why += ": " + l.Detail
	}
	s.say(why+")", HelpAfterDeadLetter(l.Reason))
}

// textOf is a failure in words.
func textOf(f event.FailureData) string {
	text := strings.TrimSuffix(f.Text, ".")
	if from := strings.TrimSpace(f.Vendor + " " + f.Code); from != "" {
		text = from + ": " + text
	}
	return text
}

func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
