package trial

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/stack"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// malformed makes messages of which nothing can be made, by turns, on keys of their own.
var malformed = []func(t *Trial, id string) *nats.Msg{
	func(*Trial, string) *nats.Msg { return &nats.Msg{} },
	func(*Trial, string) *nats.Msg { return &nats.Msg{Data: []byte("\xff\xfe\x00")} },
	func(t *Trial, _ string) *nats.Msg {
		return &nats.Msg{Data: []byte(`{"newPassword":"` + t.password() + `"`)}
	},
	func(*Trial, string) *nats.Msg { return &nats.Msg{Data: []byte(strings.Repeat("[", 50_000))} },
	func(*Trial, string) *nats.Msg { return &nats.Msg{Data: []byte(strings.Repeat("x", 1_000_000))} },
	func(_ *Trial, id string) *nats.Msg { return enveloped("", id, "{}", "ce-id", id, "another") },
	func(*Trial, string) *nats.Msg { return enveloped("", "\xff", "{}") },
	func(_ *Trial, id string) *nats.Msg {
		return enveloped("", id, strings.Repeat(`{"createIn":`, 20_000)+"1"+strings.Repeat("}", 20_000))
	},
	func(_ *Trial, id string) *nats.Msg {
		return enveloped("", id, `{"createIn":"`+strings.Repeat("x", 900_000)+`"}`)
	},
	func(_ *Trial, id string) *nats.Msg { return enveloped("", id+strings.Repeat("x", 20_000), "{}") },
	func(_ *Trial, id string) *nats.Msg { return enveloped("*", id, "{}") },
	func(_ *Trial, id string) *nats.Msg { return enveloped(">", id, "{}") },
	// Another command under a used source and id, with a password.
	func(t *Trial, _ string) *nats.Msg {
		data, _ := t.object(1, 0, 0)
		m := message(event.Directory, "other", "0", event.ObjectCreate, data)
		m.Header.Del(nats.MsgIdHdr)
		return m
	},
}

// enveloped makes a CloudEvent with data that is wrong, on a key token as it is; more names a header and its values.
func enveloped(token, id, data string, more ...string) *nats.Msg {
	m := message(event.Directory, "", id, event.ObjectCreate, data)
	m.Header.Del(nats.MsgIdHdr)
	m.Subject = ""
	if token != "" {
		m.Subject = strings.TrimSuffix(bus.CommandSubject(stack.SandboxTenant, event.Directory, ""), event.Token("")) + token
	}
	if len(more) > 0 {
		m.Header[more[0]] = more[1:]
	}
	return m
}

// poison publishes one malformed message, of a kind by turns.
func (t *Trial) poison(ctx context.Context, turn int) error {
	id := fmt.Sprint("poison-", turn)
	m := malformed[turn%len(malformed)](t, id)
	if m.Subject == "" {
		m.Subject = bus.CommandSubject(stack.SandboxTenant, event.Directory, id)
	}
	ack, err := t.store(ctx, m)
	if err != nil {
		return err
	}
	p := check.Poison{Sequence: ack.Sequence}
	if ids := m.Header["ce-id"]; len(ids) == 1 && ids[0] != "0" {
		p.OperationID = event.OperationID(stack.SandboxTenant, source, ids[0])
	}
	t.mu.Lock()
	t.evidence.Poison = append(t.evidence.Poison, p)
	t.mu.Unlock()
	t.injected(malformedMessage)
	return nil
}
