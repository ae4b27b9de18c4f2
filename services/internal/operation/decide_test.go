package operation

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// TestDecisionTable decides each kind of failure after each kind of prior call, within and beyond
// the horizon of the kind.
func TestDecisionTable(t *testing.T) {
	t.Parallel()
	outcomes := map[byte]string{'w': "waiting", 'u': "unknown", 'f': "failed", 'p': "failed, and a person has to look"}
	kinds := failure.Meanings()
	for _, row := range []struct {
		prior      string
		repeatable bool
		last       event.State // of the record
		held       bool        // by the vendor, for approval
		called     bool        // the handler was called in this attempt
		// A letter of outcomes for each kind: invalid, refused, not-found, throttled, unavailable,
		// unknown, suspended, internal.
		within, beyond string
	}{
		{
			prior: "none, a repeatable call", repeatable: true, called: true,
			within: "ffwwwuww",
			beyond: "fffffpff",
		},
		{
			prior: "none, a create", called: true,
			within: "ffwwwuww",
			beyond: "fffffpff",
		},
		{
			prior:  "none, a create's look-up failed",
			within: "ffwwwuww",
			beyond: "fffffpff",
		},
		{
			prior: "a failure that has passed", last: event.StateWaiting, called: true,
			within: "ffwwwuww",
			beyond: "fffffpff",
		},
		{
			prior: "a lost create, whose look-up fails", last: event.StateUnknown,
			within: "ppuuuuuu",
			beyond: "pppppppp",
		},
		{
			prior: "a create during which the process died, whose look-up fails", last: event.StateStarted,
			within: "ppuuuuuu",
			beyond: "pppppppp",
		},
		{
			// Its look-up has found nothing, so the vendor's clear answer ends it.
			prior: "a lost create, which is repeated", last: event.StateUnknown, called: true,
			within: "ffuuuuwu",
			beyond: "fffffpff",
		},
		{
			prior: "a lost repeatable call, not yet repeated", repeatable: true, last: event.StateUnknown,
			within: "ppuuuuuu",
			beyond: "pppppppp",
		},
		{
			prior: "a lost repeatable call, which is repeated", repeatable: true, last: event.StateUnknown, called: true,
			within: "ffwwwuww",
			beyond: "fffffpff",
		},
		{
			// Whatever stops the look-up, the record goes on saying that the vendor holds it.
			prior: "a create that is held for approval", last: event.StateWaiting, held: true,
			within: "wwwwwwww",
			beyond: "ffffffff",
		},
		{
			prior: "a repeatable call that is held for approval", repeatable: true, last: event.StateWaiting, held: true, called: true,
			within: "ffwwwuww",
			beyond: "fffffpff",
		},
	} {
		if len(row.within) != len(kinds) || len(row.beyond) != len(kinds) {
			t.Fatalf("prior call: %s; say what becomes of each of the %d kinds of failure.Meanings, in its order", row.prior, len(kinds))
		}
		for i := range kinds {
			kind := kinds[i].Kind
			for _, past := range []bool{false, true} {
				s := situationOf(row.last, row.held, row.repeatable, row.called)
				want := outcomes[row.within[i]]
				if past {
					want = outcomes[row.beyond[i]]
					s.last.since = s.now.Add(-8 * 24 * time.Hour)
				}
				c := s.conclude(failure.New(kind, "why"), DefaultRetries)
				if got := outcomeOf(c); got != want {
					t.Errorf("prior call: %s; %s, beyond the horizon %v: %s, want %s", row.prior, kind, past, got, want)
				}
				if row.held && !row.repeatable && kindOf(c) != "suspended" {
					t.Errorf("%s is held, and the event says %s", kind, kindOf(c))
				}
			}
		}
	}
}

// situationOf is the situation of a command whose record ends in a state.
func situationOf(state event.State, held, repeatable, called bool) situation {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	last := &entry{state: state, attempt: 1, since: now.Add(-time.Minute), written: now.Add(-time.Second), sentAt: now.Add(-time.Minute), nextAttempt: now}
	switch {
	case held:
		last.failure = event.FailureData{Kind: string(failure.Suspended)}
	case state != "":
		last.failure = event.FailureData{Kind: string(failure.Unavailable), Vendor: "v", Code: "prior"}
	}
	s := situation{
		domain: event.DomainDelegation, now: now, last: last, prior: last.priorCall(Handler{NotRepeatable: !repeatable}),
		called: called, sentAt: last.sentAt, repeatable: repeatable, callTimeout: time.Minute,
	}
	if called {
		s.sentAt = now
	}
	return s
}

// outcomeOf names the event of a conclusion.
func outcomeOf(c conclusion) string {
	name := strings.TrimSuffix(strings.TrimPrefix(c.reply.Type, event.Prefix+"delegation."), ".v1")
	if c.deadLetter != "" {
		name += ", and a person has to look"
	}
	return name
}

func kindOf(c conclusion) string {
	_, reason := failureOf(c.reply)
	kind, _, _ := strings.Cut(reason, ":")
	return kind
}

// TestWhatAnErrorAsksFor has the errors of stages that are no failures of a vendor.
func TestWhatAnErrorAsksFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err        error
		prior      bool
		want       string
		code, text string // of the failure
	}{
		{&Rejection{Faults: []event.Fault{{Field: "key", Problem: "is wrong"}}}, false, "rejected", "rejected", "key is wrong"},
		{fmt.Errorf("a check: %w", Reject("key", "is wrong")), true, "rejected", "rejected", "key is wrong"},
		{errExpired, false, "failed", "unavailable", "the command's expirytime"},
		{&unpublishable{"x", errors.New("hunter2")}, false, "failed, and a person has to look", "unknown", "x cannot be published"},
		{&outcomeUnknown{}, true, "failed, and a person has to look", "unknown", "the vendor's answer was lost, and"},
		{&outcomeUnknown{heldForApproval: true}, true, "failed, and a person has to look", "unknown", "the vendor held the operation"},
		{&overLimitError{time.Second}, false, "waiting", "", ""},
		{&overLimitError{time.Second}, true, "unknown", "throttled", "use up the budget"},
		{errors.New("hunter2"), false, "waiting", "internal", "an internal error"},
	} {
		state := event.StateWaiting
		if c.prior {
			state = event.StateUnknown
		}
		got := situationOf(state, false, false, false).conclude(c.err, DefaultRetries)
		_, reason := failureOf(got.reply)
		if outcomeOf(got) != c.want || !strings.HasPrefix(reason, c.code) || !strings.Contains(reason, c.text) || strings.Contains(reason, "hunter2") {
			t.Errorf("%v, prior %v: %s, %q", c.err, c.prior, outcomeOf(got), reason)
		}
	}
}

// TestAnUnknownKeepsWhatTheHandlerNeeds: when the call in doubt was sent, and by which code it was
// answered.
func TestAnUnknownKeepsWhatTheHandlerNeeds(t *testing.T) {
	t.Parallel()
	unavailable := failure.New(failure.Unavailable, "not sent")
	lost := failure.New(failure.Unknown, "lost")
	for name, c := range map[string]struct {
		repeatable, called bool
		err                error
		code               string
		sentNow            bool
	}{
		"the look-up of a create fails":        {false, false, unavailable, "prior", false},
		"the repeated create is not sent":      {false, true, unavailable, "prior", false},
		"the repeated create is lost":          {false, true, lost, "", true},
		"a repeatable call is lost once more":  {true, true, lost, "", true},
		"a repeatable call waits for a limit":  {true, false, &overLimitError{time.Second}, "", false},
		"a repeatable call cannot begin: lost": {true, false, lost, "", false},
	} {
		s := situationOf(event.StateUnknown, false, c.repeatable, c.called)
		data, ok := s.conclude(c.err, DefaultRetries).reply.Data.(event.UnknownData)
		if !ok || data.Failure.Code != c.code || data.SentAt.Equal(s.now) != c.sentNow || data.SentAt.Equal(s.last.sentAt) == c.sentNow {
			t.Errorf("%s: %+v", name, data)
		}
	}
}

// TestTimesOfTheNextAttempt are cut short by the command's expirytime, and never come before a lost
// call can arrive.
func TestTimesOfTheNextAttempt(t *testing.T) {
	t.Parallel()
	const soon, later = time.Minute, time.Hour
	throttled := &failure.Error{Kind: failure.Throttled, RetryAfter: later, Text: "later"}
	suspended := &failure.Error{Kind: failure.Suspended, RetryAfter: later, Text: "held"}
	lost := failure.New(failure.Unknown, "lost")
	for name, c := range map[string]struct {
		repeatable bool
		err        error
		want       time.Duration // from now
	}{
		"a failure":                        {true, throttled, soon},
		"a limit":                          {true, &overLimitError{later}, soon},
		"a create that is held":            {false, suspended, later},
		"a repeatable call that is held":   {true, suspended, soon},
		"a repeatable call that was lost":  {true, lost, 5 * time.Minute}, // beyond the expirytime too
		"a create that was lost, and more": {false, &failure.Error{Kind: failure.Unknown, RetryAfter: later}, later},
	} {
		s := situationOf("", false, c.repeatable, true)
		s.expiry, s.callTimeout = s.now.Add(soon), 5*time.Minute
		if got := s.conclude(c.err, DefaultRetries).next.Sub(s.now); got != c.want {
			t.Errorf("%s: the next attempt comes after %v, want %v", name, got, c.want)
		}
	}
}
