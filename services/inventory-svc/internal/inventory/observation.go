package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
)

// observation is something to be said of a mailbox.
type observation struct {
	// key is the mailbox's among those of all tenants, and in the subject; id is the vendor's.
	key, id, name string
	facts         []byte // canonical JSON
	content       uint64
	at            time.Time
	change        string
	list          string // event.ResourceList, or ""
	// replaces is the sequence of the mailbox's last message; 0: it has none.
	replaces uint64
	// first is when the mailbox was first observed; zero: now.
	first time.Time
	// factsAt is when the facts of a missing mailbox were read.
	factsAt time.Time
	// previous holds the members of the facts that have changed, as they were.
	previous json.RawMessage
}

// stored is a mailbox's message in the stream.
type stored struct {
	sequence    uint64
	key         string // in the subject
	operationID string
	change      string
	list        string
	content     uint64
	at          time.Time // it was published
	subject     string    // for people

	FirstObservedAt time.Time       `json:"firstObservedAt"`
	ObservedAt      time.Time       `json:"observedAt"`
	LastObservedAt  time.Time       `json:"lastObservedAt"` // of a missing mailbox
	Mailbox         json.RawMessage `json:"mailbox"`
}

func readStored(msg *jetstream.RawStreamMsg) (stored, error) {
	e, err := event.Decode(msg.Header, msg.Data)
	if err != nil {
		return stored{}, fmt.Errorf("message %d of %s: %w", msg.Sequence, bus.Mailboxes, err)
	}
	key, err := event.Untoken(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	if err != nil {
		return stored{}, fmt.Errorf("message %d of %s: %w", msg.Sequence, bus.Mailboxes, err)
	}
	s := stored{
		sequence: msg.Sequence, key: key, operationID: event.Extension(e, event.Operation), change: event.Extension(e, event.MailboxChange), list: event.Extension(e, event.MailboxList), at: e.Time(), subject: e.Subject(),
	}
	s.content, _ = strconv.ParseUint(event.Extension(e, event.ContentHash), 16, 64)
	if err := e.DataAs(&s); err != nil {
		return stored{}, fmt.Errorf("message %d of %s: %w", msg.Sequence, bus.Mailboxes, err)
	}
	return s, nil
}

// after makes an observation follow on a stored message.
func (o *observation) after(s stored) {
	o.replaces, o.first, o.previous = s.sequence, s.FirstObservedAt, differences(s.Mailbox, o.facts)
}

// missing is what is said of a mailbox that was not met: all that was known of it.
func (s stored) missing(at time.Time) (observation, error) {
	var m struct{ ID string }
	if err := json.Unmarshal(s.Mailbox, &m); err != nil || m.ID == "" {
		return observation{}, fmt.Errorf("message %d of %s names no mailbox", s.sequence, bus.Mailboxes)
	}
	return observation{
		key: s.key, id: m.ID, name: s.subject, facts: s.Mailbox, content: s.content, at: at, change: event.MailboxGone, list: s.list,
		replaces: s.sequence, first: s.FirstObservedAt, factsAt: s.ObservedAt,
	}, nil
}

// differences gives the members of an object that are others now, as they were before; null where there was none. nil: none differs.
func differences(before, now []byte) json.RawMessage {
	var old, current map[string]json.RawMessage
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(now, &current) != nil {
		return nil
	}
	changed := map[string]json.RawMessage{}
	for name, value := range old {
		if !bytes.Equal(value, current[name]) {
			changed[name] = value
		}
	}
	for name := range current {
		if _, had := old[name]; !had {
			changed[name] = json.RawMessage("null")
		}
	}
	if len(changed) == 0 {
		return nil
	}
	raw, err := json.Marshal(changed)
	if err != nil {
		return nil // it is made of what was decoded
	}
	return raw
}

// message is an observation as it is published.
func (o observation) message(run *operation.Run) (*nats.Msg, error) {
	eventType, data := event.MailboxObserved, any(event.MailboxObservedData{
		SyncID: run.ID, Tenant: run.Tenant, ObservedAt: o.at, FirstObservedAt: o.firstOr(o.at), Mailbox: o.facts, Previous: o.previous,
	})
	if o.change == event.MailboxGone {
		eventType, data = event.MailboxMissing, event.MailboxMissingData{
			SyncID: run.ID, Tenant: run.Tenant, ObservedAt: o.at, MailboxID: o.id, FirstObservedAt: o.firstOr(o.factsAt), LastObservedAt: o.factsAt, Mailbox: o.facts,
		}
	}
	e, err := event.New(fmt.Sprintf("%s.%s.%d", run.ID, o.key, o.replaces), operation.Source(event.Inventory), eventType, data)
	if err != nil {
		return nil, err
	}
	e.SetTime(o.at)
	if o.name != "" {
		e.SetSubject(o.name)
	}
	event.Extend(&e, append(run.Attributes(),
		event.Attribute{Name: event.ContentHash, Value: formatContent(o.content)},
		event.Attribute{Name: event.MailboxChange, Value: o.change},
		event.Attribute{Name: event.MailboxList, Value: o.list})...)
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", o.id, err)
	}
	return &nats.Msg{Subject: bus.MailboxSubject(run.Tenant, o.key), Header: header, Data: body}, nil
}

func (o observation) firstOr(t time.Time) time.Time {
	if o.first.IsZero() {
		return t
	}
	return o.first
}
