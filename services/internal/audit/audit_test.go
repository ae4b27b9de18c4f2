package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/natstest"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

func start(t *testing.T) audit.Recorder {
	t.Helper()
	js := natstest.Start(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	return audit.Recorder{JS: js, User: "operator", Source: "https://mailwright.io/mailwright", Person: "alex@admin-1"}
}

// held is what AUDIT holds, the oldest first.
func held(t *testing.T, js jetstream.JetStream) (list []event.Event) {
	t.Helper()
	for m, err := range streamreader.Messages(t.Context(), js, topology.StreamAudit, jetstream.OrderedConsumerConfig{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			t.Fatal(err)
		}
		if user, act, ok := topology.ParseAuditSubject(m.Subject()); !ok || user != "operator" || !strings.HasPrefix(e.ID(), act) {
			t.Errorf("%s on %s", e.ID(), m.Subject())
		}
		if faults := event.Check(e); len(faults) > 0 {
			t.Errorf("%s: %v", e.Type(), faults)
		}
		list = append(list, e)
	}
	return list
}

func dataOf[T any](t *testing.T, e event.Event) (data T) {
	t.Helper()
	if err := json.Unmarshal(e.Data(), &data); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAnActIsRecordedBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		result string
	}{
		"done":    {nil, event.AuditDone},
		"failed":  {errors.New("no answer"), event.AuditFailed},
		"refused": {audit.Refused(errors.New("not so")), event.AuditRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			act := audit.Act{Action: audit.DeadDiscard, Reason: "CHG-1", Tenants: []string{"b", "a", "b"}, Operations: []string{"fuom5ln32nj4obpm5vearkc6kh", "alex@contoso.com"}, DeadLetters: []uint64{3}, Count: 2}
			err := r.Record(t.Context(), act, func(tally *audit.Tally) error {
				if before := held(t, r.JS); len(before) != 1 || before[0].Type() != event.TypeAuditIntended {
					t.Errorf("before the act, AUDIT holds %v", before)
				}
				tally.Add(2)
				return c.err
			})
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			events := held(t, r.JS)
			if len(events) != 2 {
				t.Fatalf("AUDIT holds %v", events)
			}
			intent := dataOf[event.AuditIntendedData](t, events[0])
			intent.ConnectedAs = ""
			want := event.AuditIntendedData{Action: audit.DeadDiscard, Reason: "CHG-1", Tenants: []string{"a", "b"}, Operations: []string{"fuom5ln32nj4obpm5vearkc6kh"}, DeadLetters: []uint64{3}, Count: 2}
			if diff := cmp.Diff(want, intent); diff != "" {
				t.Errorf("intent (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(event.AuditCompletedData{Action: audit.DeadDiscard, Result: c.result, Done: 2}, dataOf[event.AuditCompletedData](t, events[1])); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			for _, e := range events {
				if got := event.Extension(e, event.AttrAuthType) + " " + event.Extension(e, event.AttrAuthID); got != "user alex@admin-1" {
					t.Errorf("%s: by %s", e.Type(), got)
				}
			}
		})
	}
}

// TestWhatAuditCannotTakeIsNotDone: without the stream, and with a reason that erasure could not
// take out again.
func TestWhatAuditCannotTakeIsNotDone(t *testing.T) {
	t.Parallel()
	r := start(t)
	never := func(*audit.Tally) error {
		t.Error("it was done")
		return nil
	}
	for reason, want := range map[string]string{
		"asked by alex@contoso.com": "must not hold an address",
		strings.Repeat("x", 1025):   "must have at most 1024 characters",
		"a\x1b[31m":                 "must not hold a control character",
		"\xff":                      "must be UTF-8",
	} {
		err := r.Record(t.Context(), audit.Act{Action: audit.Cancel, Reason: reason}, never)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "alex") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if events := held(t, r.JS); len(events) > 0 {
		t.Errorf("AUDIT holds %v", events)
	}
	if err := r.JS.DeleteStream(t.Context(), topology.StreamAudit); err != nil {
		t.Fatal(err)
	}
	err := r.Record(t.Context(), audit.Act{Action: audit.Cancel}, never)
	if !errors.Is(err, audit.ErrNotWritten) || !strings.Contains(err.Error(), "'mailwright streams apply'") {
		t.Errorf("error %v", err)
	}
}

// TestTheEndOfAnActIsRecordedAfterItsContext: Ctrl-C ends the act, and AUDIT tells so.
func TestTheEndOfAnActIsRecordedAfterItsContext(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := r.Record(ctx, audit.Act{Action: audit.Import, Count: 5}, func(tally *audit.Tally) error {
		tally.Add(3)
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	events := held(t, r.JS)
	if len(events) != 2 || dataOf[event.AuditCompletedData](t, events[1]) != (event.AuditCompletedData{Action: audit.Import, Result: event.AuditFailed, Done: 3}) {
		t.Errorf("AUDIT holds %v", events)
	}
}

// TestNothingCanBeTakenOut: not even with all permissions.
func TestNothingCanBeTakenOut(t *testing.T) {
	t.Parallel()
	r := start(t)
	if err := r.Record(t.Context(), audit.Act{Action: audit.Cancel}, func(*audit.Tally) error { return nil }); err != nil {
		t.Fatal(err)
	}
	stream, err := r.JS.Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err == nil {
		t.Error("a message was deleted")
	}
	if err := stream.Purge(t.Context()); err == nil {
		t.Error("the stream was purged")
	}
	config := stream.CachedInfo().Config
	config.DenyDelete, config.DenyPurge = false, false
	if _, err := r.JS.UpdateStream(t.Context(), config); err == nil {
		t.Error("the protection was taken off")
	}
	if events := held(t, r.JS); len(events) != 2 {
		t.Errorf("AUDIT holds %v", events)
	}
}

// TestTheActionsAreThoseOfTheSchema, and the lists of a large act are bounded.
func TestTheActionsAreThoseOfTheSchema(t *testing.T) {
	t.Parallel()
	r := start(t)
	many := make([]string, event.MaxAudited+1)
	letters := make([]uint64, event.MaxAudited+1)
	for i := range many {
		many[i], letters[i] = "fuom5ln32nj4obpm5vearkc6kh", uint64(i+1)
	}
	for _, action := range audit.Actions() {
		act := audit.Act{Action: action, Operations: many, DeadLetters: letters, Targets: many, Count: len(many)}
		if err := r.Record(t.Context(), act, func(*audit.Tally) error { return nil }); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
	events := held(t, r.JS)
	if len(events) != 2*len(audit.Actions()) {
		t.Errorf("%d events", len(events))
	}
	if got := dataOf[event.AuditIntendedData](t, events[0]); len(got.Operations) != event.MaxAudited || got.Count != event.MaxAudited+1 {
		t.Errorf("%d operations of %d", len(got.Operations), got.Count)
	}
}
