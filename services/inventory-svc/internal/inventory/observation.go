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

// observation is something to be said of a mailbox.
type observation struct {
	// key is the mailbox's among those of all tenants, and in the subject; id is the vendor's.
	key, id, name string
	facts         []byte // canonical JSON
	content       uint64
	at            time.Time
	change        string
	list          string // event.MailboxListResource, or ""
	// replaces is the sequence of the mailbox's last message; 0: it has none.
	replaces uint64
	// first is when the mailbox was first observed; zero: now.
	first time.Time
	// factsAt is when the facts of a missing mailbox were read.
	factsAt time.Time
	// previous holds the members of the facts that have changed, as they were.
	previous json.RawMessage
	// omitted names what was too large: members of facts, and of previous with "previous." before
	// them.
	omitted []string
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
	unreadable  bool      // all but sequence, key and subject are zero

	FirstObservedAt time.Time       `json:"firstObservedAt"`
	ObservedAt      time.Time       `json:"observedAt"`
	LastObservedAt  time.Time       `json:"lastObservedAt"` // of a missing mailbox
	Mailbox         json.RawMessage `json:"mailbox"`
	Omitted         []string        `json:"omitted"`
}

// readStored reads a message. One that is not of ours is unreadable: it is replaced when its
// mailbox is met.
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
		sequence: msg.Sequence, key: key, at: e.Time(), subject: e.Subject(), operationID: event.Extension(e, event.AttrOperationID),
		change: event.Extension(e, event.AttrMailboxChange), list: event.Extension(e, event.AttrMailboxList),
	}
	s.content, _ = strconv.ParseUint(event.Extension(e, event.AttrContentHash), 16, 64)
	if err := e.DataAs(&s); err != nil {
		return unreadable
	}
	return s
}

// follow makes an observation follow on a stored message.
func (o *observation) follow(s stored) {
	o.replaces, o.first, o.previous = s.sequence, s.FirstObservedAt, nil
	if s.unreadable {
		return
	}
	o.previous = differences(s.Mailbox, o.facts, s.Omitted)
}

// missing is the observation that a mailbox was not met, with all that was known of it; ok is false
// where the message does not tell which mailbox it is of.
func (s stored) missing(at time.Time) (o observation, ok bool) {
	var m struct{ ID string }
	if s.unreadable || json.Unmarshal(s.Mailbox, &m) != nil || m.ID == "" {
		return observation{}, false
	}
	return observation{
		key: s.key, id: m.ID, name: s.subject, facts: s.Mailbox, content: s.content, at: at, change: event.ChangeMissing, list: s.list,
		replaces: s.sequence, first: s.FirstObservedAt, factsAt: s.ObservedAt, omitted: membersOnly(s.Omitted),
	}, true
}

// differences gives the members of an object that have changed, as they were before; null where
// there was none. Those that had been left out before are unknown, and so left out. nil: none has
// changed.
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
		return nil // it is made of what was decoded
	}
	return raw
}

// message is an observation as it is published.
func (o observation) message(run *operation.Attempt) (*nats.Msg, error) {
	eventType, data := event.TypeMailboxObserved, any(event.MailboxObservedData{
		SyncID: run.ID, Tenant: run.Tenant, ObservedAt: o.at, FirstObservedAt: o.firstOr(o.at), Mailbox: o.facts, Previous: o.previous,
		Omitted: o.omitted,
	})
	if o.change == event.ChangeMissing {
		eventType, data = event.TypeMailboxMissing, event.MailboxMissingData{
			SyncID: run.ID, Tenant: run.Tenant, ObservedAt: o.at, MailboxID: o.id, FirstObservedAt: o.firstOr(o.factsAt), LastObservedAt: o.factsAt, Mailbox: o.facts,
			Omitted: o.omitted,
		}
	}
	e, err := event.New(fmt.Sprintf("%s.%s.%d", run.ID, o.key, o.replaces), operation.Source(event.DomainInventory), eventType, data)
	if err != nil {
		return nil, err
	}
	e.SetTime(o.at)
	if o.name != "" {
		e.SetSubject(clip(o.name, maxName))
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

func (o observation) firstOr(t time.Time) time.Time {
	if o.first.IsZero() {
		return t
	}
	return o.first
}
