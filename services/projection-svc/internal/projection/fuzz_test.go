package projection

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/projection-svc/internal/projector"
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
			t.Errorf("not settled: %q, %q", clean, again)
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

// Whatever an event holds, it becomes rows or an Unfit: every projection's reading is tried on it.
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
		record := projector.Record{Subject: "mailwright.evt.delegation.x", Sequence: 1, StoredAt: time.Unix(1, 0), Data: data}
		for _, h := range []nats.Header{nil, header} {
			record.Header = h
			if r, err := readResult(record); err == nil {
				if row, err := r.operation(); err == nil {
					if strings.Contains(row.Key+row.FailureText+row.Subject, nul) {
						t.Errorf("NUL in %+v", row)
					}
					_, _ = r.history(row)
				}
				if mailboxes, err := r.delegated(); err == nil {
					b := newBook(nil)
					for _, m := range mailboxes {
						b.learn(m)
					}
					for k, m := range b.byName {
						if k.Mailbox == "" || m.Mailbox == "" {
							t.Errorf("a mailbox without a name: %+v", m)
						}
					}
				}
			}
			_, _ = inventoried(record)
		}
		if row := dead(record); row.Reason == "" || strings.Contains(row.Detail+row.Reason, nul) {
			t.Errorf("%+v", row)
		}
	})
}
