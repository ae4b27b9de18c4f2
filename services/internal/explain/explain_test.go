package explain_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/explain"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

var update = flag.Bool("update", false, "write the golden file anew")

const (
	id    = "ng35avuij3rjpmvn4xiypd3cyo"
	other = "fuom5ln32nj4obpm5vearkc6kh"
)

var (
	now    = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	stored = now.Add(-10 * time.Minute)
	soon   = now.Add(5 * time.Minute)
	op     = event.OperationData{CommandType: event.TypeMailboxCreate, Key: "jsmith", ReceivedAt: stored, Attempt: 3, Fingerprint: strings.Repeat("0", 64)}
)

func clock(t time.Time) string { return t.UTC().Format("15:04") }

// facts are those of an operation whose record ends with an event.
func facts(t *testing.T, eventType string, data any) explain.Facts {
	t.Helper()
	f := begun(explain.Queue{Leased: true, Delivered: true, Acknowledged: true, Partition: 3, Head: id, WakesAt: soon})
	if eventType == "" {
		return f
	}
	e, err := event.New(id+".7.x", "/mailbox-svc", eventType, data)
	if err != nil {
		t.Fatal(err)
	}
	event.Extend(&e, event.Attribute{Name: event.AttrCommandSource, Value: "/hr"}, event.Attribute{Name: event.AttrCommandID, Value: "joiner-1"})
	f.Events = []explain.Event{{Event: e, Sequence: 8, StoredAt: now.Add(-time.Minute)}}
	return f
}

// begun are the facts of a command that is stored.
func begun(q explain.Queue) explain.Facts {
	return explain.Facts{
		OperationID: id, Tenant: "contoso", Domain: event.DomainMailbox, Now: now, Queue: q,
		Command: &explain.Command{Type: event.TypeMailboxCreate, Source: "/hr", ID: "joiner-1", Key: "jsmith", StoredAt: stored, Sequence: 5},
	}
}

func waitingFor(kind failure.Kind, code string) event.WaitingData {
	return event.WaitingData{
		Operation: op, Reason: event.WaitFailure, Since: stored, NextAttemptAt: soon,
		Failure: &event.FailureData{Kind: string(kind), Vendor: "adaxes", Code: code, Text: "what the vendor said."},
	}
}

// namedFacts is a row of the table.
type namedFacts struct {
	name  string
	facts explain.Facts
}

func change(f explain.Facts, by func(*explain.Facts)) explain.Facts {
	by(&f)
	return f
}

// everyCase has every state, kind of failure, reason to wait and reason of a dead letter.
func everyCase(t *testing.T) []namedFacts {
	const d = event.DomainMailbox
	waiting, started := event.WaitingType(d), event.StartedType(d)
	var list []namedFacts
	add := func(name string, f explain.Facts) { list = append(list, namedFacts{name, f}) }

	add("nothing is known", explain.Facts{OperationID: id, Tenant: "contoso", Domain: d, Now: now, Queue: explain.Queue{Partition: -1}})
	add("received: no lease", begun(explain.Queue{Partition: 3}))
	add("received: others first", begun(explain.Queue{Partition: 3, Leased: true}))
	add("received: held back", begun(explain.Queue{Partition: 3, Leased: true, Delivered: true}))
	add("received: set aside", begun(explain.Queue{Partition: 3, Leased: true, Delivered: true, Acknowledged: true, SetAside: true}))
	add("received: acknowledged by another", begun(explain.Queue{Partition: 3, Leased: true, Delivered: true, Acknowledged: true}))
	add("received: no partition", begun(explain.Queue{Partition: -1}))
	add("received: behind another", begun(explain.Queue{Partition: 3, Leased: true, Head: other, HeadWhy: "it waits for its time"}))
	for _, m := range failure.Meanings() {
		if m.Delays.Horizon > 0 && m.Kind != failure.Unknown {
			add("waiting: "+string(m.Kind), facts(t, waiting, waitingFor(m.Kind, "E1")))
		}
	}
	add("waiting: circuit breaker", facts(t, waiting, waitingFor(failure.Unavailable, "circuit-open")))
	add("waiting: expires first", change(facts(t, waiting, waitingFor(failure.Throttled, "")), func(f *explain.Facts) { f.Command.ExpiryTime = now.Add(time.Hour) }))
	add("waiting: a failure that is not told", facts(t, waiting, event.WaitingData{Operation: op, Reason: event.WaitFailure, NextAttemptAt: soon}))
	for _, reason := range []string{event.WaitScheduled, event.WaitConcurrencyLimit, event.WaitBlockedByKey} {
		add("waiting: "+reason, facts(t, waiting, event.WaitingData{Operation: op, Reason: reason, NextAttemptAt: soon}))
	}
	blocked := facts(t, waiting, event.WaitingData{Operation: op, Reason: event.WaitBlockedByKey, NextAttemptAt: soon})
	add("waiting: behind another", change(blocked, func(f *explain.Facts) { f.Queue.Head = other }))
	late := waitingFor(failure.Throttled, "")
	late.NextAttemptAt = now.Add(-5 * time.Minute)
	overdue := facts(t, waiting, late)
	add("waiting: overdue", change(overdue, func(f *explain.Facts) { f.Queue.WakesAt = time.Time{} }))
	add("waiting: overdue, woken later", overdue)
	add("waiting: overdue, no lease", change(overdue, func(f *explain.Facts) { f.Queue.Leased = false }))
	add("started", facts(t, started, event.StartedData{Operation: op, LeaseExpiresAt: soon}))
	add("started: lost", change(facts(t, started, event.StartedData{Operation: op, LeaseExpiresAt: stored}), func(f *explain.Facts) { f.Queue.Leased = false }))
	unknown := event.UnknownData{
		Operation: op, Failure: event.FailureData{Kind: "unknown", Vendor: "adaxes", Text: "no answer"}, SentAt: stored, Since: stored, NextAttemptAt: soon,
	}
	add("unknown", facts(t, event.UnknownType(d), unknown))
	unknown.NextAttemptAt = stored
	add("unknown: overdue", change(facts(t, event.UnknownType(d), unknown), func(f *explain.Facts) { f.Queue.WakesAt = time.Time{} }))
	for _, m := range failure.Meanings() {
		why := event.FailureData{Kind: string(m.Kind), Vendor: "adaxes", Code: "E1", Text: "no"}
		add("failed: "+string(m.Kind), facts(t, event.FailedType(d), event.FailedData{Operation: op, Failure: why}))
	}
	for _, code := range []string{operation.Expired, operation.OutcomeUnknown} {
		add("failed: "+code, facts(t, event.FailedType(d), event.FailedData{Operation: op, Failure: event.FailureData{Kind: "unknown", Code: code, Text: "no"}}))
	}
	add("rejected", facts(t, event.RejectedType(d), event.RejectedData{Operation: op, Faults: []event.Fault{{Field: "/alias", Problem: "is missing"}}}))
	add("cancelled", facts(t, event.CancelledType(d), event.CancelledData{Operation: op, By: event.CommandRef{Source: "/itsm", ID: "c-1"}}))
	add("succeeded", facts(t, event.TypeMailboxCreated, event.MailboxCreatedData{Operation: op, Mailbox: event.CreatedMailbox{Alias: "jsmith"}}))
	add("data that cannot be read", facts(t, waiting, []string{"a list"}))
	for _, reason := range []string{
		operation.Unreadable, operation.Conflict, operation.Expired, operation.OutcomeUnknown, operation.RecordUnreadable, operation.ReferenceMismatch,
		operation.InternalFault, operation.AckedWithoutOutcome, event.MaxDeliveries, event.Terminated,
	} {
		add("dead letter: "+reason, change(begun(explain.Queue{Partition: 3}), func(f *explain.Facts) {
			f.DeadLetters = []explain.DeadLetter{{DeadLetter: event.DeadLetter{Reason: reason, Detail: "why", Stream: "COMMANDS", Sequence: 5}, Sequence: 1, StoredAt: now}}
		}))
	}
	return list
}

// TestEveryCaseHasItsSentence: the golden file is what operations people read.
func TestEveryCaseHasItsSentence(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, c := range everyCase(t) {
		x := explain.Explain(c.facts, clock)
		sentence := x.Sentence()
		if x.Why == "" || strings.Contains(sentence, "..") || strings.Contains(sentence, "  ") {
			t.Errorf("%s: %q is no sentence", c.name, sentence)
		}
		if strings.HasPrefix(c.name, "failed") && x.Help == "" {
			t.Errorf("%s: nothing says what would help", c.name)
		}
		fmt.Fprintf(&b, "%s\n  %s\n", c.name, sentence)
		for _, m := range x.Timeline {
			future := map[bool]string{true: " (to come)"}[m.Future]
			fmt.Fprintf(&b, "    %s %s%s\n", clock(m.At), m.State, future)
		}
	}
	path := filepath.Join("testdata", "sentences.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

// TestTextsOfOthersCannotMoveATerminalsCursor: a vendor's text, and a publisher's id, may hold
// anything.
func TestTextsOfOthersCannotMoveATerminalsCursor(t *testing.T) {
	t.Parallel()
	data := waitingFor(failure.Throttled, "\x1b[2J")
	data.Failure.Text = "line\nbreak\u202e"
	f := facts(t, event.WaitingType(event.DomainMailbox), data)
	f.Command.ID = "\x1b[2J"
	x := explain.Explain(f, clock)
	for _, text := range []string{x.Sentence(), x.Timeline[0].Text, x.Timeline[1].Text} {
		if strings.ContainsAny(text, "\x1b\n\u202e") {
			t.Errorf("%q", text)
		}
	}
}

func TestAnEventsIDNamesItsOperation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{id + ".12.mailbox.failed.v1": id, id: "", "joiner-1": "", strings.ToUpper(id) + ".1.x": "", "": ""} {
		if got := explain.OperationOfEvent(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
