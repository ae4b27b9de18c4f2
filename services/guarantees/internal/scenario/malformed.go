package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// malformed is a message that nobody can carry out. Its key is its own unless make gives it
// another.
type malformed struct {
	kind string
	// want is the expected end: the reason of a dead letter, or the state of the operation.
	want string
	make func(s *Scenario, id string) *nats.Msg
}

// enveloped makes a command with a valid envelope and wrong data.
func enveloped(data func(s *Scenario) string) func(*Scenario, string) *nats.Msg {
	return func(s *Scenario, id string) *nats.Msg { return create("", id, data(s)) }
}

// bare makes a message of a body alone.
func bare(data func(s *Scenario) string) func(*Scenario, string) *nats.Msg {
	return func(s *Scenario, _ string) *nats.Msg { return &nats.Msg{Data: []byte(data(s))} }
}

func text(s string) func(*Scenario) string { return func(*Scenario) string { return s } }

// rejected is the state in which a malformed command ends that has an id and a source.
const rejected = string(event.StateRejected)

// malformedMessages are published one after another, and then again from the first. Those without
// make have functions of their own below.
var malformedMessages = []malformed{
	{"nothing at all", operation.Unreadable, bare(text(""))},
	{"garbage", operation.Unreadable, bare(text("\xff\xfe\x00"))},
	{"half an object with a secret", operation.Unreadable, bare(func(s *Scenario) string {
		return `{"newPassword":"` + s.password() + `"`
	})},
	{"a deep array without an envelope", operation.Unreadable, bare(text(strings.Repeat("[", 50_000)))},
	{"1 MB without an envelope", operation.Unreadable, bare(text(strings.Repeat("x", 1_000_000)))},
	{"two ids", operation.Unreadable, func(_ *Scenario, id string) *nats.Msg {
		return withHeader(create("", id, "{}"), "ce-id", id, "another")
	}},
	{"an id that is no text", operation.Unreadable, func(*Scenario, string) *nats.Msg {
		return create("", "\xff", "{}")
	}},
	{"a long id", operation.Unreadable, func(_ *Scenario, id string) *nats.Msg {
		return create("", id+strings.Repeat("x", 20_000), "{}")
	}},
	{"a wildcard as key", operation.Unreadable, func(_ *Scenario, id string) *nats.Msg {
		return create("*", id, "{}")
	}},
	{"a wildcard of all as key", operation.Unreadable, func(_ *Scenario, id string) *nats.Msg {
		return create(">", id, "{}")
	}},
	{"a foreign record", operation.RecordUnreadable, nil},
	{"a foreign record, and a delay of 10 years", operation.RecordUnreadable, nil},
	{"a foreign record, and no delay", operation.RecordUnreadable, nil},
	{"a record with a state and nothing else", operation.Conflict, nil},
	{"a reference to another operation", operation.ReferenceMismatch, nil},
	{"a reference to another domain", operation.ReferenceMismatch, nil},
	{"JSON in a text", rejected, enveloped(func(s *Scenario) string { return fmt.Sprintf("%q", s.secretObject()) })},
	{"value in place of values", rejected, enveloped((*Scenario).misspelt)},
	{"a secret in an array", rejected, enveloped(func(s *Scenario) string {
		return fmt.Sprintf(`["unicodePwd",%q]`, s.password())
	})},
	{"a secret as the type of an object", rejected, enveloped(func(s *Scenario) string {
		return fmt.Sprintf(`{"createIn":"x","objectType":%q,"properties":[]}`, s.password())
	})},
	{"a structured event without id, JSON in a text", operation.Unreadable, func(s *Scenario, _ string) *nats.Msg {
		return structured(withoutID(fmt.Sprintf("%q", s.secretObject())))
	}},
	{"a structured event without id, a secret in an array", operation.Unreadable, func(s *Scenario, _ string) *nats.Msg {
		return structured(withoutID(fmt.Sprintf(`["unicodePwd",%q]`, s.password())))
	}},
	{"another command under a used id", operation.Conflict, underUsedID(func(s *Scenario) string {
		data, _ := s.object(1, 0, 0)
		return data
	})},
	{"JSON in a text under a used id", operation.Conflict, underUsedID(func(s *Scenario) string {
		return fmt.Sprintf("%q", s.secretObject())
	})},
	{"value in place of values under a used id", operation.Conflict, underUsedID((*Scenario).misspelt)},
	{"a secret in an array under a used id", operation.Conflict, underUsedID(func(s *Scenario) string {
		return fmt.Sprintf(`["unicodePwd",%q]`, s.password())
	})},
}

func (s *Scenario) secretObject() string { return fmt.Sprintf(`{"unicodePwd":%q}`, s.password()) }

func (s *Scenario) misspelt() string {
	property := fmt.Sprintf(`{"propertyName":"unicodePwd","propertyType":"String","value":%q}`, s.password())
	return fmt.Sprintf(`{"createIn":%q,"objectType":"user","properties":[%s]}`, unit, property)
}

// create makes a command on the key token as given; "" leaves the subject open.
func create(token, id, data string) *nats.Msg {
	m := message(event.DomainDirectory, "", id, event.TypeObjectCreate, data)
	m.Header.Del(nats.MsgIdHdr)
	m.Subject = ""
	if token != "" {
		m.Subject = strings.TrimSuffix(topology.CommandSubject(stack.SandboxTenant, event.DomainDirectory, ""), event.Token("")) + token
	}
	return m
}

// withoutID is a structured event without an id.
func withoutID(data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","source":%q,"type":%q,"data":%s}`, source, event.TypeObjectCreate, data)
}

func structured(body string) *nats.Msg {
	return &nats.Msg{Data: []byte(body), Header: nats.Header{"content-type": {"application/cloudevents+json"}}}
}

// withHeader sets a header.
func withHeader(m *nats.Msg, name string, values ...string) *nats.Msg {
	m.Header[name] = values
	return m
}

// usedID is the id of the first command. It has its outcome when messages with its id are
// published.
const usedID = "0"

func underUsedID(data func(*Scenario) string) func(*Scenario, string) *nats.Msg {
	return func(s *Scenario, _ string) *nats.Msg { return create("other", usedID, data(s)) }
}

// publishMalformed publishes one malformed message: the next of the list. When the list has been
// published once, the bombs follow; they are large, so each is published once.
func (p *publisher) publishMalformed(ctx context.Context, turn int) error {
	id := fmt.Sprint("malformed-", turn)
	if bomb := turn - len(malformedMessages); bomb >= 0 && bomb < len(bombs) {
		b := bombs[bomb]
		m := message(event.DomainDirectory, id, id, event.TypeObjectCreate, b.data())
		return p.scenario.storeMalformed(ctx, m, check.Malformed{Kind: b.kind, OperationID: operationOf(id), Want: rejected})
	}
	w := malformedMessages[turn%len(malformedMessages)]
	switch w.want {
	case operation.RecordUnreadable:
		return p.foreignRecord(ctx, w, id)
	case operation.ReferenceMismatch:
		return p.foreignReference(ctx, w, id)
	}
	if w.make == nil {
		return p.emptyRecord(ctx, w, id)
	}
	m := w.make(p.scenario, id)
	if m.Subject == "" {
		m.Subject = topology.CommandSubject(stack.SandboxTenant, event.DomainDirectory, id)
	}
	entry := check.Malformed{Kind: w.kind, Want: w.want}
	if w.want == rejected {
		entry.OperationID = operationOf(id)
	}
	return p.scenario.storeMalformed(ctx, m, entry)
}

// operationOf is the operation id of a command of the workload.
func operationOf(id string) string { return event.OperationID(stack.SandboxTenant, source, id) }

// storeMalformed publishes a message and notes how it must end.
func (s *Scenario) storeMalformed(ctx context.Context, m *nats.Msg, entry check.Malformed) error {
	ack, err := s.store(ctx, m)
	if err != nil {
		return err
	}
	entry.Sequence = ack.Sequence
	s.noteMalformed(entry)
	s.countFault(malformedMessage)
	return nil
}

func (s *Scenario) noteMalformed(entry check.Malformed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evidence.Malformed = append(s.evidence.Malformed, entry)
}

// foreignRecord publishes a message that is no event on the subject of an operation, and then its
// command. For two of the kinds the command has a header that asked for a time of redelivery in an
// earlier version.
func (p *publisher) foreignRecord(ctx context.Context, w malformed, id string) error {
	foreign := &nats.Msg{Data: []byte("not an event"), Header: nats.Header{}}
	if err := p.forge(ctx, id, foreign); err != nil {
		return err
	}
	data, _ := p.scenario.object(firstUnorderedNumber, 0, 0)
	m := message(event.DomainDirectory, id, id, event.TypeObjectCreate, data)
	switch {
	case strings.HasSuffix(w.kind, "10 years"):
		m = withHeader(m, "mailwright-retry-after", "87600h")
	case strings.HasSuffix(w.kind, "no delay"):
		m = withHeader(m, "mailwright-retry-after", "0s")
	}
	return p.scenario.storeMalformed(ctx, m, check.Malformed{Kind: w.kind, OperationID: operationOf(id), Want: w.want})
}

// emptyRecord publishes an event of an unknown type there, with a state and without the facts of
// the command.
func (p *publisher) emptyRecord(ctx context.Context, w malformed, id string) error {
	if err := p.forge(ctx, id, eventOfLaterVersion(id, event.OperationData{})); err != nil {
		return err
	}
	data, _ := p.scenario.object(firstUnorderedNumber, 0, 0)
	m := message(event.DomainDirectory, id, id, event.TypeObjectCreate, data)
	return p.scenario.storeMalformed(ctx, m, check.Malformed{Kind: w.kind, Want: w.want})
}

// firstUnorderedNumber is beyond the numbers of the workload.
const firstUnorderedNumber = 10_000_000

// eventOfLaterVersion makes an event as a later version may write it: its type is unknown to this
// version, its state attribute is known.
func eventOfLaterVersion(id string, of event.OperationData) *nats.Msg {
	data := event.WaitingData{Operation: of, Reason: "paused", Since: time.Now().UTC()}
	e, err := event.New(id+".later", operation.Source(event.DomainDirectory), event.Prefix+"directory.paused.v1", data)
	if err != nil {
		panic(err) // its data is fixed
	}
	event.Extend(&e,
		event.Attribute{Name: event.AttrTenantID, Value: stack.SandboxTenant},
		event.Attribute{Name: event.AttrCommandID, Value: id},
		event.Attribute{Name: event.AttrCommandSource, Value: source},
		event.Attribute{Name: event.AttrOperationID, Value: operationOf(id)},
		event.Attribute{Name: event.AttrState, Value: string(event.StateWaiting)})
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		panic(err)
	}
	return &nats.Msg{Header: header, Data: body}
}

// forge publishes a message on the subject of an operation's events.
func (p *publisher) forge(ctx context.Context, id string, m *nats.Msg) error {
	m.Subject = topology.EventSubject(stack.SandboxTenant, event.DomainDirectory, operationOf(id))
	m.Header.Set(nats.MsgIdHdr, "forged-"+id)
	ack, err := p.scenario.store(ctx, m)
	if err != nil {
		return err
	}
	p.scenario.forgedSequences[ack.Sequence] = true
	p.scenario.countFault(forgedRecord)
	return nil
}

// foreignReference puts a reference into a key's queue of parked commands that does not match the
// command that it refers to, and wakes the key.
func (p *publisher) foreignReference(ctx context.Context, w malformed, id string) error {
	domain := event.DomainDirectory
	if strings.HasSuffix(w.kind, "domain") {
		domain = event.DomainInventory
	}
	// The target is malformed itself: it would have no effect if the reference were followed.
	target := message(domain, id, id, event.TypeObjectCreate, "{}")
	ack, err := p.scenario.store(ctx, target)
	if err != nil {
		return err
	}
	p.scenario.noteMalformed(check.Malformed{Kind: "the target of " + w.kind, Sequence: ack.Sequence, OperationID: operationOf(id), Want: rejected})
	commands, err := p.scenario.js.Stream(ctx, topology.StreamCommands)
	if err != nil {
		return err
	}
	stored, err := retryRead(ctx, func() (*jetstream.RawStreamMsg, error) { return commands.GetMsg(ctx, ack.Sequence) })
	if err != nil {
		return err
	}
	key, ok := topology.ParseCommandSubject(stored.Subject)
	if !ok {
		return fmt.Errorf("command %d has no address", ack.Sequence)
	}
	key.Domain = event.DomainDirectory
	incarnation := commands.CachedInfo().Created.UTC()
	operationID := operationOf(id)
	switch {
	case strings.HasSuffix(w.kind, "incarnation"):
		incarnation = incarnation.Add(-time.Hour)
	case strings.HasSuffix(w.kind, "operation"):
		operationID = operationOf(id + "-another")
	}
	reference := fmt.Sprintf(`{"sequence":%d,"incarnation":%q,"operationId":%q,"partition":%d}`,
		ack.Sequence, incarnation.Format(time.RFC3339Nano), operationID, key.Partition)
	for _, m := range []*nats.Msg{{Subject: topology.ParkedSubject(key), Data: []byte(reference)}, {Subject: topology.WakeSubject(key)}} {
		if _, err := p.scenario.store(ctx, m); err != nil {
			return err
		}
	}
	// The target does not fit its schema, so it may hold a secret, and is removed once it is
	// rejected. Then the reference leads to nothing.
	p.scenario.noteMalformed(check.Malformed{Kind: w.kind, Sequence: ack.Sequence, Want: w.want, Or: operation.Expired})
	p.scenario.countFault(forgedReference)
	return nil
}

// retryRead reads again while JetStream does not answer.
func retryRead[T any](ctx context.Context, read func() (T, error)) (v T, err error) {
	late := until(ctx, time.Minute, func(context.Context) (string, error) {
		v, err = read()
		return "", err
	})
	return v, errors.Join(late, err)
}
