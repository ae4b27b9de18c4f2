package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
)

func containsSecret(s string) bool { return strings.Contains(s, "hunter2") }

func TestOperationID(t *testing.T) {
	t.Parallel()
	// Computed by: printf 'https://hr.example.com/joiners\njoiner-1' | sha256sum, base32, lower
	// case, 26 characters.
	if got, want := event.OperationID("contoso", "https://hr.example.com/joiners", "joiner-1"), operationOfExample(t); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// operationOfExample reads the operation id that the published example shows.
func operationOfExample(t *testing.T) string {
	var e struct {
		OperationID string `json:"operationid"`
	}
	if err := json.Unmarshal(example(t, event.TypeObjectCreated), &e); err != nil {
		t.Fatal(err)
	}
	return e.OperationID
}

func TestDecodeIsTolerant(t *testing.T) {
	t.Parallel()
	data := []byte(`{"mailboxType":"all"}`)
	for name, h := range map[string]nats.Header{
		"strict":           {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeInventorySync}, "content-type": {"application/json"}},
		"canonical case":   {"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/hr"}, "Ce-Type": {event.TypeInventorySync}, "Content-Type": {"application/json; charset=utf-8"}},
		"upper case":       {"CE-SPECVERSION": {"1.0"}, "CE-ID": {"1"}, "CE-SOURCE": {"/hr"}, "CE-TYPE": {event.TypeInventorySync}},
		"sdk-go":           {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeInventorySync}, "ce-datacontenttype": {"application/json"}},
		"percent-encoded":  {"ce-specversion": {"1.0"}, "ce-id": {"%31"}, "ce-source": {"/hr"}, "ce-type": {event.TypeInventorySync}},
		"foreign headers":  {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeInventorySync}, "X-Trace": {"a", "b"}, "Nats-Msg-Id": {"9"}},
		"empty extensions": {"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeInventorySync}, "ce-tenantid": {""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := event.Decode(h, data)
			if err != nil {
				t.Fatal(err)
			}
			if e.ID() != "1" || e.Source() != "/hr" || e.Type() != event.TypeInventorySync {
				t.Errorf("%s", e)
			}
			if faults := event.Check(e); len(faults) > 0 {
				t.Error(faults)
			}
		})
	}
	body := []byte(`{"specversion":"1.0","id":"1","source":"/hr","type":"` + event.TypeInventorySync + `","data":{"mailboxType":"all"}}`)
	for name, h := range map[string]nats.Header{
		"structured without headers": nil,
		"structured":                 {"content-type": {"application/cloudevents+json"}},
		"structured with charset":    {"Content-Type": {"application/cloudevents+json; charset=utf-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := event.Decode(h, body)
			if err != nil {
				t.Fatal(err)
			}
			if e.ID() != "1" || string(e.Data()) != `{"mailboxType":"all"}` {
				t.Errorf("%s", e)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	ok := func() nats.Header {
		return nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {"t"}}
	}
	with := func(name string, values ...string) nats.Header { h := ok(); h[name] = values; return h }
	without := func(name string) nats.Header { h := ok(); delete(h, name); return h }
	for name, c := range map[string]struct {
		header nats.Header
		body   string
		want   string
	}{
		"empty":                 {nil, "", "body is empty"},
		"unreadable bytes":      {nil, "\xff\xfe\x00", "UTF-16"},
		"JSON, no CloudEvent":   {nil, `{"hello":"hunter2"}`, "id is missing"},
		"two values":            {with("ce-id", "1", "2"), "{}", "id is given more than once"},
		"the same in two cases": {with("Ce-Id", "2"), "{}", "id is given more than once"},
		"another version":       {with("ce-specversion", "0.3"), "{}", "specversion must be 1.0"},
		"no id":                 {without("ce-id"), "{}", "id"},
		"no source":             {without("ce-source"), "{}", "source"},
		"bad time":              {with("ce-time", "yesterday"), "{}", "time must be"},
		"header not UTF-8":      {with("ce-subject", "\xff"), "{}", "not UTF-8"},
		"encoded not UTF-8":     {with("ce-subject", "%FF"), "{}", "not UTF-8"},
		"a batch":               {nats.Header{"content-type": {"application/cloudevents-batch+json"}}, "[]", "batch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := event.Decode(c.header, []byte(c.body))
			if err == nil || !strings.Contains(err.Error(), c.want) || containsSecret(err.Error()) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestEncodeThenDecodeGivesTheSameEvent(t *testing.T) {
	t.Parallel()
	e, err := event.New("ä 1", "https://hr.example.com/a", event.TypeDelegationRead, event.DelegationReadData{Mailbox: "müller@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	e.SetSubject(`Jürgen "J" Müller 100%`)
	e.SetTime(time.Date(2026, 11, 21, 9, 0, 0, 5e8, time.UTC))
	e.SetExtension(event.AttrTenantID, "contoso")
	for _, mode := range []event.Mode{event.Binary, event.Structured} {
		h, body, err := event.Encode(e, mode)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range h {
			for _, c := range []byte(values[0]) {
				if c < ' ' || c > '~' {
					t.Errorf("header %s is not printable ASCII: %q", name, values[0])
				}
			}
		}
		got, err := event.Decode(h, body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asJSON(t, e), asJSON(t, got)); diff != "" {
			t.Errorf("mode %d (-sent +received):\n%s", mode, diff)
		}
	}
}

func asJSON(t *testing.T, e event.Event) any {
	t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, raw)
}

func FuzzDecode(f *testing.F) {
	f.Add("ce-specversion", "1.0", "ce-time", "x", []byte("{}"))
	f.Add("content-type", "application/cloudevents+json; x=", "a", "b", []byte(`{"specversion":"1.0","id":"1","source":"/","type":"t","data_base64":"="}`))
	f.Fuzz(func(_ *testing.T, n1, v1, n2, v2 string, body []byte) {
		e, err := event.Decode(nats.Header{n1: {v1}, n2: {v2}, "ce-id": {"1"}, "ce-source": {"/"}, "ce-type": {event.TypeInventorySync}}, body)
		if err != nil {
			return
		}
		event.Check(e)
		event.Fingerprint(e)
		_, _, _ = event.Encode(e, event.Binary)
	})
}
