package projection

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/internal/projector"
)

func FuzzCleanJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a\u0000": "\u0000 \\u0000 \ud800 \ud83d\ude00"}`, "{\"a\": \"\xff\"}", `[1e400, 12345678901234567890]`, `nul`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		clean, ok := cleanJSON(data)
		if ok != json.Valid(data) {
			t.Fatalf("ok %v", ok)
		}
		if !ok {
			return
		}
		var v any
		decoder := json.NewDecoder(bytes.NewReader(clean))
		decoder.UseNumber()
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("no longer JSON: %v", err)
		}
		if again, _ := cleanJSON(clean); !bytes.Equal(again, clean) {
			t.Errorf("not stable: %q, %q", clean, again)
		}
		if holds(v, nul) {
			t.Errorf("holds NUL: %q", clean)
		}
	})
}

func holds(v any, part string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, part)
	case []any:
		for _, item := range v {
			if holds(item, part) {
				return true
			}
		}
	case map[string]any:
		for name, member := range v {
			if strings.Contains(name, part) || holds(member, part) {
				return true
			}
		}
	}
	return false
}

// FuzzReadingIsAsBefore compares the decoder with encoding/json: a replay must give the rows that
// earlier versions gave.
func FuzzReadingIsAsBefore(f *testing.F) {
	for _, t := range event.ResultTypes() {
		raw, err := schemas.FS.ReadFile("examples/" + t + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		var envelope struct{ Data json.RawMessage }
		if err := json.Unmarshal(raw, &envelope); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(envelope.Data))
	}
	for _, s := range []string{
		` {"ITEMCOUNT" : 1, "Mailbox": {"ITEMCOUNT": 1}} `, `{"mailbox": {"itemCount": 1.0}}`, `{"previous": null, "mailbox": {"ID": "a", "id": "b"}, "mailbox": null}`,
		`{"observedAt": "2026-11-21t09:00:01Z"}`, `{"operation": {"attempt": 1}, "operation": {"key": "k"}}`, `{} {}`, `[]`, `null`, `{"since": null, "faults": {}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		clean, ok := cleanJSON(data)
		if !ok {
			return
		}
		same[observation](t, clean)
		same[facts](t, clean)
		same[event.DelegationObservedData](t, clean)
		same[event.FailureData](t, clean)

		r := result{event: event.Event{DataEncoded: clean}}
		o, err := r.outcome()
		if err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(clean, &members); err != nil {
			t.Fatalf("read, and is none: %q", clean)
		}
		var operation event.OperationData
		if raw, ok := members["operation"]; ok && json.Unmarshal(raw, &operation) != nil || !reflect.DeepEqual(operation, o.Operation) {
			t.Errorf("%+v, want %+v of %q", o.Operation, operation, clean)
		}
		for _, without := range []string{"operation", "mailboxes"} {
			delete(members, without)
		}
		sameMembers(t, o.history, members)
		delete(members, "warnings")
		sameMembers(t, o.result, members)
	})
}

func same[T any](t *testing.T, data []byte) {
	t.Helper()
	var before, now T
	failed, fails := json.Unmarshal(data, &before), unmarshal(data, &now)
	if (failed == nil) != (fails == nil) || (failed == nil && !reflect.DeepEqual(before, now)) {
		t.Errorf("%+v (%v), want %+v (%v) of %q", now, fails, before, failed, data)
	}
}

func sameMembers(t *testing.T, o object, want map[string]json.RawMessage) {
	t.Helper()
	var got map[string]json.RawMessage
	if err := json.Unmarshal(o.raw(), &got); err != nil || !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}

// Whatever an event holds, it becomes rows or an UnprojectableError: every projection's reading is
// tried on it.
func FuzzReading(f *testing.F) {
	for _, t := range event.ResultTypes() {
		raw, err := schemas.FS.ReadFile("examples/" + t + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(t, raw)
	}
	f.Fuzz(func(t *testing.T, eventType string, data []byte) {
		header := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"i"}, "ce-source": {"/s"}, "ce-type": {eventType}}
		record := projector.Record{Subject: "mailwright.evt.contoso.delegation.x", Sequence: 1, StoredAt: time.Unix(1, 0), Data: data}
		for _, h := range []nats.Header{nil, header} {
			record.Header = h
			if r, err := readResult(record); err == nil {
				data, err := r.outcome()
				if row, unknown := r.operation(&data); err == nil && unknown == nil {
					if strings.Contains(row.Key+row.FailureText+row.Subject, nul) {
						t.Errorf("NUL in %+v", row)
					}
					_ = r.history(&row, &data)
				}
				if mailboxes, err := r.delegated(); err == nil {
					index := newMailboxIndex()
					for _, m := range mailboxes {
						index.apply(m)
					}
					for k, m := range index.byName {
						if k.Mailbox == "" || m.Mailbox == "" {
							t.Errorf("a mailbox without a name: %+v", m)
						}
					}
				}
			}
			_ = new(inventoryRow).read(record)
		}
		if row := deadRowOf(record); row.Reason == "" || strings.Contains(row.Detail+row.Reason, nul) {
			t.Errorf("%+v", row)
		}
	})
}
