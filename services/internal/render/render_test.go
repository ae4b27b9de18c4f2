package render_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

func TestTypesHaveAShortForm(t *testing.T) {
	t.Parallel()
	for _, long := range append(event.CommandTypes(), event.ResultTypes()...) {
		short := render.Short(long)
		if strings.HasPrefix(short, "io.") || render.Long(short) != long || render.Long(long) != long {
			t.Errorf("%s, in short %s, is %s in full", long, short, render.Long(short))
		}
	}
}

func TestNoTextMovesTheCursor(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b[2Jb\r\nc\u202ed\u2028e"
	e, err := event.New("1", "/test", event.FailedType(event.DomainMailbox), map[string]any{"operation": map[string]any{"key": "k"}, "failure": map[string]any{"kind": "refused", "text": hostile}})
	if err != nil {
		t.Fatal(err)
	}
	e.SetSubject(hostile)
	for _, text := range []string{
		render.Describe(e), render.LineOf(e).Format(false), render.DescribeDead(event.DeadLetter{Reason: "x", Detail: hostile}),
		render.DescribeFaults([]event.Fault{{Field: hostile, Problem: hostile}}),
	} {
		if strings.ContainsAny(text, "\x1b\r\n\u202e\u2028") {
			t.Errorf("%q", text)
		}
	}
}

// TestAnOutcomeTellsTheWarningsAboutItsCommand: nobody else tells the publisher of a wrong key.
func TestAnOutcomeTellsTheWarningsAboutItsCommand(t *testing.T) {
	t.Parallel()
	const warning = "the key is not the recommended one"
	data := map[string]any{
		"operation": event.OperationData{Key: "k", Attempt: 1, Warnings: []event.Warning{{Source: "key", Text: warning}}},
		"mailbox":   "alex@contoso.com", "delegates": []string{}, "added": []string{}, "removed": []string{}, "changed": false,
		"failure": event.FailureData{Kind: "refused", Text: "no"},
	}
	for eventType, want := range map[string]bool{
		event.TypeDelegationChanged:                true,
		event.FailedType(event.DomainDelegation):   true,
		event.StartedType(event.DomainDelegation):  false,
		event.UnknownType(event.DomainDelegation):  false,
		event.RejectedType(event.DomainDelegation): true,
	} {
		e, err := event.New("1", "/test", eventType, data)
		if err != nil {
			t.Fatal(err)
		}
		if got := render.Describe(e); strings.HasSuffix(got, "; warning: "+warning) != want {
			t.Errorf("%s: %s", eventType, got)
		}
	}
}

// TestALineHoldsNothingThatATerminalActsUpon: a writer to EVENTS or DEAD chooses every
// text of it.
func TestALineHoldsNothingThatATerminalActsUpon(t *testing.T) {
	t.Parallel()
	const evil = "\u009b2J\x1b[2J\n\t\u202e"
	line := render.LineOfDead(event.DeadLetter{Reason: evil, Detail: evil, Stream: evil, Subject: evil, OperationID: evil}, evil).Format(false)
	if strings.ContainsAny(line, "\u009b\x1b\n\t\u202e") {
		t.Errorf("%q", line)
	}
}

func TestLineInColumns(t *testing.T) {
	t.Parallel()
	l := render.Line{Time: time.Now(), Operation: "fuom5ln32nj4obpm5vearkc6kh", Domain: "mailbox", State: "failed", About: strings.Repeat("ä", 40), Text: "text"}
	now := l.Time.Format(time.TimeOnly)
	if got, want := l.Format(false), now+"  fuom5ln3  mailbox     failed     "+strings.Repeat("ä", 27)+"…  text"; got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if got := l.Format(true); !strings.Contains(got, "\x1b[31mfailed   \x1b[0m") {
		t.Errorf("without its colour: %q", got)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]render.Progress{
		"[#####···············]  25 %  250,000 of about 1,000,000 mailboxes, 9,100/s, 1m22s left": {Done: 250_000, All: 1_000_000, Estimate: true, Unit: "mailboxes", Elapsed: 27_472_500 * time.Microsecond},
		"[####################] 100 %  12 of about 10 mailboxes, 6/s":                             {Done: 12, All: 10, Estimate: true, Unit: "mailboxes", Elapsed: 2 * time.Second},
		"[····················]   0 %  0 of 1,000 messages":                                       {All: 1000, Unit: "messages"},
		"250,000 mailboxes, 9,100/s": {Done: 250_000, Unit: "mailboxes", Elapsed: 27_472_500 * time.Microsecond},
	} {
		if got := p.String(); got != want {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	}
}
