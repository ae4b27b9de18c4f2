package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// observation is a message about a mailbox, before it is published.
type observation struct {
	// key identifies the mailbox in the subject. id is the vendor's id, name is for people.
	key, id, name string
	facts         []byte // canonical JSON
	content       uint64
	at            time.Time
	change        string
	list          string // event.MailboxListResource, or ""
	// replaces is the sequence of the mailbox's last message; 0 if it has none.
	replaces uint64
	// first is when the mailbox was first observed; zero if this is the first observation.
	first time.Time
	// factsAt is when the facts of a missing mailbox were last read from the vendor.
	factsAt time.Time
	// previous holds the old values of the members of the facts that changed.
	previous json.RawMessage
	// omitted names the members that were left out because the message would be too large: those
	// of facts by their name, those of previous with the prefix "previous.".
	omitted []string
}

// stored is the last message about a mailbox in the stream.
type stored struct {
	sequence    uint64
	key         string // of the mailbox, from the subject
	operationID string
	change      string
	list        string
	content     uint64
	at          time.Time // when it was published
	subject     string    // CloudEvents subject: the name of the mailbox, for people
	unreadable  bool      // not an observation; all fields but sequence, key and subject are zero

	FirstObservedAt time.Time       `json:"firstObservedAt"`
	ObservedAt      time.Time       `json:"observedAt"`
	LastObservedAt  time.Time       `json:"lastObservedAt"` // of a missing mailbox
	Mailbox         json.RawMessage `json:"mailbox"`
	Omitted         []string        `json:"omitted"`
}

// readStored decodes a message. A message that is not an observation is marked unreadable; it is
// replaced as soon as the vendor's list has the mailbox.
func readStored(msg *jetstream.RawStreamMsg) stored {
	token := msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]
	key, err := event.Untoken(token)
	unreadable := stored{sequence: msg.Sequence, key: key, subject: token, unreadable: true}
	if err != nil {
		return unreadable
	}
	e, err := event.Decode(msg.Header, msg.Data)
	if err != nil {
		return unreadable
	}
	s := stored{
		sequence: msg.Sequence, key: key, at: e.Time(), subject: e.Subject(),
		operationID: event.Extension(e, event.AttrOperationID),
		change:      event.Extension(e, event.AttrMailboxChange),
		list:        event.Extension(e, event.AttrMailboxList),
	}
	s.content, _ = strconv.ParseUint(event.Extension(e, event.AttrContentHash), 16, 64)
	if err := e.DataAs(&s); err != nil {
		return unreadable
	}
	return s
}

// follow makes the observation the successor of a stored message of its mailbox.
func (o *observation) follow(s stored) {
	o.replaces = s.sequence
	o.first = s.FirstObservedAt
	o.previous = nil
	if s.unreadable {
		return
	}
	o.previous = differences(s.Mailbox, o.facts, s.Omitted)
}

// missing is the observation that the mailbox is missing, with its last known facts. ok is false if
// the stored message does not say which mailbox it is about.
func (s stored) missing(at time.Time) (o observation, ok bool) {
	var m struct{ ID string }
	if s.unreadable || json.Unmarshal(s.Mailbox, &m) != nil || m.ID == "" {
		return observation{}, false
	}
	return observation{
		key: s.key, id: m.ID, name: s.subject, facts: s.Mailbox, content: s.content, at: at,
		change: event.ChangeMissing, list: s.list, replaces: s.sequence, first: s.FirstObservedAt, factsAt: s.ObservedAt, omitted: membersOnly(s.Omitted),
	}, true
}

// differences returns the members of an object that changed, with their old values; null is the old
// value of a new member. omitted names members that the old object was stored without: their old
// values are not known, so they are left out. The result is nil if nothing changed.
func differences(before, now []byte, omitted []string) json.RawMessage {
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
		if _, had := old[name]; !had && !slices.Contains(omitted, name) {
			changed[name] = json.RawMessage("null")
		}
	}
	if len(changed) == 0 {
		return nil
	}
	raw, err := json.Marshal(changed)
	if err != nil {
		return nil // cannot happen: the values were decoded from JSON
	}
	return raw
}

// message encodes the observation as the message that is published.
func (o observation) message(run *operation.Attempt) (*nats.Msg, error) {
	eventType, data := o.data(run)
	id := fmt.Sprintf("%s.%s.%d", run.ID, o.key, o.replaces)
	e, err := event.New(id, operation.Source(event.DomainInventory), eventType, data)
	if err != nil {
		return nil, err
	}
	e.SetTime(o.at)
	if o.name != "" {
		e.SetSubject(clip(o.name))
	}
	event.Extend(&e, append(run.Attributes(),
		event.Attribute{Name: event.AttrContentHash, Value: formatContent(o.content)},
		event.Attribute{Name: event.AttrMailboxChange, Value: o.change},
		event.Attribute{Name: event.AttrMailboxList, Value: o.list})...)
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", o.id, err)
	}
	return &nats.Msg{Subject: topology.MailboxSubject(run.Tenant, o.key), Header: header, Data: body}, nil
}

// data returns the observation's event type and the event's data.
func (o observation) data(run *operation.Attempt) (eventType string, data any) {
	if o.change == event.ChangeMissing {
		return event.TypeMailboxMissing, event.MailboxMissingData{
			SyncID: run.ID, Tenant: run.Tenant, ObservedAt: o.at, MailboxID: o.id,
			FirstObservedAt: o.firstOr(o.factsAt), LastObservedAt: o.factsAt, Mailbox: o.facts, Omitted: o.omitted,
		}
	}
	return event.TypeMailboxObserved, event.MailboxObservedData{
		SyncID: run.ID, Tenant: run.Tenant, ObservedAt: o.at, FirstObservedAt: o.firstOr(o.at),
		Mailbox: o.facts, Previous: o.previous, Omitted: o.omitted,
	}
}

// firstOr is when the mailbox was first observed: t, if this is the first observation.
func (o observation) firstOr(t time.Time) time.Time {
	if o.first.IsZero() {
		return t
	}
	return o.first
}
