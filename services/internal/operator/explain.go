package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/explain"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

// Facts gathers from the streams what is known of an operation. Postgres is not asked: its rows may
// lag behind, and what an operation waits for stands in PARKED and in the consumers alone.
func Facts(ctx context.Context, js jetstream.JetStream, t Target) (explain.Facts, error) {
	f, err := facts(ctx, js, t)
	if err != nil || f.Queue.Head == "" || f.Queue.Head == t.OperationID {
		return f, err
	}
	head, err := facts(ctx, js, Target{f.Queue.Head, t.Tenant, t.Domain})
	if err != nil {
		return f, err
	}
	f.Queue.HeadWhy = explain.Explain(head, func(at time.Time) string { return at.Local().Format(time.TimeOnly) }).Why
	return f, nil
}

func facts(ctx context.Context, js jetstream.JetStream, t Target) (explain.Facts, error) {
	f := explain.Facts{OperationID: t.OperationID, Tenant: t.Tenant, Domain: t.Domain, Queue: explain.Queue{Partition: -1}}
	var err error
	if f.Events, err = recordOf(ctx, js, t); err != nil {
		return f, err
	}
	if f.DeadLetters, err = deadLettersOf(ctx, js, t); err != nil {
		return f, err
	}
	original, found, err := originalOf(ctx, js, t, f)
	if err != nil {
		return f, err
	}
	if found {
		f.Command = commandOf(original)
		f.Queue, err = queueOf(ctx, js, original)
	}
	f.Now = time.Now()
	return f, err
}

// maxEvents bounds what is read of one record: an inventory publishes its progress for hours.
const maxEvents = 2000

// recordOf reads the events of an operation: the first maxEvents, and the last.
func recordOf(ctx context.Context, js jetstream.JetStream, t Target) (list []explain.Event, err error) {
	subject := topology.EventSubject(t.Tenant, t.Domain, t.OperationID)
	messages, err := messagesOn(ctx, js, topology.StreamEvents, subject)
	for _, m := range messages {
		if e, err := event.Decode(m.Header, m.Data); err == nil {
			list = append(list, explain.Event{Event: e, Sequence: m.Sequence, StoredAt: m.Time.UTC()})
		}
	}
	return list, err
}

// deadLettersOf reads the dead letters about an operation.
func deadLettersOf(ctx context.Context, js jetstream.JetStream, t Target) (list []explain.DeadLetter, err error) {
	messages, err := messagesOn(ctx, js, topology.StreamDead, topology.DeadSubject(t.Tenant, t.Domain, t.OperationID))
	for _, m := range messages {
		if l, err := event.ReadDeadLetter(m.Data); err == nil {
			list = append(list, explain.DeadLetter{DeadLetter: l, Sequence: m.Sequence, StoredAt: m.Time.UTC()})
		}
	}
	return list, err
}

// messagesOn reads the messages of one subject, one by one: a consumer would stay on the server for
// a while after each look. Of more than maxEvents it reads the first of them, and the last.
func messagesOn(ctx context.Context, js jetstream.JetStream, name, subject string) (list []*jetstream.RawStreamMsg, err error) {
	s, err := stream(ctx, js, name)
	if err != nil {
		return nil, err
	}
	last, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	for next := uint64(1); err == nil && next < last.Sequence && len(list) < maxEvents; {
		var m *jetstream.RawStreamMsg
		if m, err = s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject)); err == nil && m.Sequence < last.Sequence {
			list = append(list, m)
		}
		if m != nil {
			next = m.Sequence + 1
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", subject, name, err)
	}
	return append(list, last), nil
}

// originalOf finds the command: by the time that the record gives, by the dead letter, or among
// those that no service has begun.
func originalOf(ctx context.Context, js jetstream.JetStream, t Target, f explain.Facts) (Original, bool, error) {
	if n := len(f.Events); n > 0 {
		var data struct {
			Operation event.OperationData `json:"operation"`
		}
		if err := f.Events[n-1].DataAs(&data); err != nil {
			return Original{}, false, nil
		}
		return FindOriginal(ctx, js, t, data.Operation)
	}
	if n := len(f.DeadLetters); n > 0 && f.DeadLetters[n-1].Stream == topology.StreamCommands {
		return originalAt(ctx, js, t, f.DeadLetters[n-1].DeadLetter.Sequence)
	}
	return findUnbegun(ctx, js, t)
}

// originalAt reads a command of COMMANDS, if it is the operation's.
func originalAt(ctx context.Context, js jetstream.JetStream, t Target, sequence uint64) (Original, bool, error) {
	s, err := stream(ctx, js, topology.StreamCommands)
	if err != nil {
		return Original{}, false, err
	}
	d, found, err := bus.Read(ctx, js, s, sequence)
	if err != nil || !found {
		return Original{}, false, err
	}
	command, err := event.ReadCommand(d.Header, d.Data)
	address, ok := topology.ParseCommandSubject(d.Subject)
	if err != nil || !ok || event.OperationOf(t.Tenant, command.Event) != t.OperationID {
		return Original{}, false, nil
	}
	return Original{command, address, d.Sequence, d.StoredAt.UTC()}, true, nil
}

// findUnbegun searches the commands of a tenant and domain that no replica has acknowledged. One
// that was set aside is acknowledged: those are searched by the references in PARKED.
func findUnbegun(ctx context.Context, js jetstream.JetStream, t Target) (Original, bool, error) {
	first, err := firstUnacknowledged(ctx, js, t.Domain)
	if err != nil {
		return Original{}, false, err
	}
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{topology.CommandsStored(t.Tenant, t.Domain)},
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy, OptStartSeq: first,
		InactiveThreshold: shortLived,
	}
	for m, err := range streamreader.Messages(ctx, js, topology.StreamCommands, config) {
		if err != nil {
			return Original{}, false, err
		}
		command, err := event.ReadCommand(m.Headers(), m.Data())
		if err != nil || event.OperationOf(t.Tenant, command.Event) != t.OperationID {
			continue
		}
		address, ok := topology.ParseCommandSubject(m.Subject())
		if !ok {
			address = topology.Address{Tenant: t.Tenant, Domain: t.Domain, Partition: -1}
		}
		return Original{command, address, m.Metadata.Sequence.Stream, m.Metadata.Timestamp.UTC()}, true, nil
	}
	return Original{}, false, nil
}

// firstUnacknowledged is the first sequence of COMMANDS that a partition of the domain may still
// have before it, or that its overflow may hold.
func firstUnacknowledged(ctx context.Context, js jetstream.JetStream, domain event.Domain) (uint64, error) {
	s, err := stream(ctx, js, topology.StreamCommands)
	if err != nil {
		return 0, err
	}
	first, served := s.CachedInfo().State.LastSeq+1, false
	for c := range s.ListConsumers(ctx).Info() {
		if d, _, _, ok := topology.ParseCommandFilter(c.Config.FilterSubject); ok && d == domain {
			first, served = min(first, c.AckFloor.Stream+1), true
		}
	}
	if !served { // its service has never run
		return 1, nil
	}
	parked, err := stream(ctx, js, topology.StreamParked)
	if err != nil {
		return 0, err
	}
	info, err := parked.Info(ctx, jetstream.WithSubjectFilter(topology.ParkedOf(domain)))
	if err != nil {
		return 0, fmt.Errorf("list what waits: %w", err)
	}
	for subject := range info.State.Subjects {
		if !topology.IsOverflowSubject(subject) {
			continue
		}
		if m, err := parked.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject)); err == nil {
			first = min(first, firstOfRun(m.Data, first))
		}
	}
	return max(first, 1), nil
}

// firstOfRun is the sequence of the first command that a reference in an overflow names.
func firstOfRun(data []byte, otherwise uint64) uint64 {
	var run struct {
		Commands []struct {
			Sequence uint64 `json:"sequence"`
		} `json:"commands"`
	}
	if json.Unmarshal(data, &run) != nil || len(run.Commands) == 0 {
		return otherwise
	}
	return run.Commands[0].Sequence
}

func commandOf(o Original) *explain.Command {
	key := o.Address.Key
	if text, err := event.Untoken(key); err == nil {
		key = text
	}
	return &explain.Command{
		Type: o.Event.Type(), Source: o.Event.Source(), ID: o.Event.ID(), Subject: o.Event.Subject(), Key: key,
		CorrelationID: event.Extension(o.Event, event.AttrCorrelationID), CausationID: event.Extension(o.Event, event.AttrCausationID),
		Sequence: o.Sequence, StoredAt: o.StoredAt, NotBefore: o.NotBefore, ExpiryTime: o.ExpiryTime, DryRun: o.DryRun,
		Data: event.Excerpt(o.Document),
	}
}

// queueOf reads what stands before a command.
func queueOf(ctx context.Context, js jetstream.JetStream, o Original) (explain.Queue, error) {
	q := explain.Queue{Partition: o.Address.Partition}
	if q.Partition < 0 {
		return q, nil
	}
	head, parked, err := headOf(ctx, js, o.Address)
	if refusal := (*RefusedError)(nil); err != nil && !errors.As(err, &refusal) {
		return q, err
	}
	if parked {
		q.Head = head.OperationID
	}
	if err := readSchedule(ctx, js, o.Address, &q); err != nil {
		return q, err
	}
	c, err := js.Consumer(ctx, topology.StreamCommands, bus.CommandConsumer(o.Address.Domain, o.Address.Generation, q.Partition).Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return q, nil
	}
	if err != nil {
		return q, fmt.Errorf("partition %d of %s: %w", q.Partition, o.Address.Domain, err)
	}
	info := c.CachedInfo()
	q.Leased = leased(info)
	q.Delivered = info.Delivered.Stream >= o.Sequence
	q.Acknowledged = info.AckFloor.Stream >= o.Sequence
	return q, nil
}

// leased reports whether the server delivers a partition to a replica: it is pinned to one that
// asks.
func leased(info *jetstream.ConsumerInfo) bool {
	for _, g := range info.PriorityGroups {
		if g.PinnedClientID != "" {
			return true
		}
	}
	return false
}

// readSchedule reads when a key is woken, and whether its tenant and partition have an overflow.
func readSchedule(ctx context.Context, js jetstream.JetStream, a topology.Address, q *explain.Queue) error {
	parked, err := stream(ctx, js, topology.StreamParked)
	if err != nil {
		return err
	}
	if m, err := parked.GetLastMsgForSubject(ctx, topology.ScheduleSubject(a)); err == nil {
		q.WakesAt, _ = bus.ScheduledFor(m.Header)
	}
	_, q.SetAside, err = headOf(ctx, js, a.Overflow())
	if refusal := (*RefusedError)(nil); errors.As(err, &refusal) {
		err = nil
	}
	return err
}
