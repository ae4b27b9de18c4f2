package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

// Reasons of the engine why a message ends in DEAD; JetStream's own are in package event.
const (
	Unreadable     = "unreadable"           // no CloudEvent can be made of it
	Conflict       = "idempotency-conflict" // tenant, source and id of an earlier command, but another one
	Expired        = "expired"              // it waited longer than COMMANDS keeps commands
	OutcomeUnknown = "outcome-unknown"      // whether it was carried out cannot be read back: a person has to look
	// RecordUnreadable: the last event on its operation's subject says nothing of its state.
	RecordUnreadable = "record-unreadable"
	// ReferenceMismatch: what waited refers to another command, since COMMANDS was restored or made
	// again.
	ReferenceMismatch = "reference-mismatch"
	// InternalFault: a fault of ours, which its publisher cannot correct.
	InternalFault       = "internal"
	AckedWithoutOutcome = "acked-without-outcome" // delivered and acknowledged, but without an outcome
)

const maxExcerpt = 16 << 10

// deadLetter is what the engine knows of a message that it gives up.
type deadLetter struct {
	reason, detail string
	attempt        *Attempt // nil: unreadable, or gone
	// unreadable is what is known of a command that no operation can come of; else nil.
	unreadable *event.UnreadableError
	// last is the record of an operation whose command is gone; else nil.
	last *entry
}

// unreadable is the dead letter of a message that no operation can come of.
func unreadable(err error) deadLetter {
	l := deadLetter{reason: Unreadable, detail: err.Error()}
	l.unreadable, _ = errors.AsType[*event.UnreadableError](err)
	return l
}

// conflict is the dead letter of a command whose source and id an earlier one has used.
func conflict(a *Attempt) deadLetter {
	return deadLetter{reason: Conflict, detail: "a command with the same tenant, source and id, but with another type, data, notbefore or expirytime, was accepted before", attempt: a}
}

// deadLetter publishes a dead letter about a message. nil means that nothing else is to be done
// with the message.
func (e *Engine) deadLetter(ctx context.Context, l deadLetter, d bus.Delivery) error {
	if e.disabled(failpoint.DeadLetters) {
		return nil
	}
	dead := event.DeadLetter{
		Reason: l.reason, Detail: l.detail, Stream: d.Stream, Sequence: d.Sequence, Subject: publishedSubject(d.Subject), Consumer: d.Consumer,
		Tenant: tenantOf(d.Subject), Time: e.Now().UTC(), Size: len(d.Data),
	}
	if l.unreadable != nil {
		dead.Source, dead.ID, dead.Type = l.unreadable.Source, l.unreadable.ID, l.unreadable.Type
	}
	if d.Stream == topology.StreamCommands {
		dead.Incarnation = e.parking.incarnation()
	}
	switch {
	case l.attempt != nil:
		nameCommand(&dead, l.attempt)
	case l.last != nil && l.last.sequence > 0:
		nameRecord(&dead, l.last)
	}
	e.describe(&dead, l.attempt, d)
	msg, err := e.deadMessage(dead)
	if err != nil {
		return err
	}
	e.reach(failpoint.DeadLetter)
	if _, err := e.cfg.JS.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("dead-letter message %d of %s: %w", d.Sequence, d.Stream, err)
	}
	e.reach(failpoint.DeadLettered)
	metrics.DeadLetters.WithLabelValues(string(e.cfg.Domain), metrics.Tenant(dead.Tenant), l.reason).Inc()
	log := e.log(l.attempt)
	log.Warn("dead-lettered", "reason", l.reason, "stream", d.Stream, "sequence", d.Sequence)
	log.Debug("what is wrong with the message", "detail", l.detail)
	return nil
}

// nameCommand says which command a dead letter is about.
func nameCommand(dead *event.DeadLetter, a *Attempt) {
	dead.Source, dead.ID, dead.Type = a.Command.Source(), a.Command.ID(), a.Command.Type()
	dead.OperationID, dead.Tenant = a.ID, a.Tenant
	dead.CorrelationID = event.Extension(a.Command, event.AttrCorrelationID)
	dead.TraceParent = event.Extension(a.Command, event.AttrTraceParent)
}

// nameRecord says the same by the operation's record.
func nameRecord(dead *event.DeadLetter, last *entry) {
	envelope := &last.envelope
	dead.Source, dead.ID, dead.Type = envelope.attribute(event.AttrCommandSource), envelope.attribute(event.AttrCommandID), last.operation.CommandType
	dead.OperationID, dead.Tenant = envelope.operationID, envelope.tenant
	dead.CorrelationID = envelope.attribute(event.AttrCorrelationID)
	dead.TraceParent = envelope.attribute(event.AttrTraceParent)
}

// describe adds what a dead letter may show of its message. Data that fits its schema is excerpted:
// it is known there which values are secret. Of other data only the type, the size and the names of
// members are shown.
func (e *Engine) describe(dead *event.DeadLetter, a *Attempt, d bus.Delivery) {
	if e.disabled(failpoint.Redaction) && json.Valid(d.Data) {
		dead.Excerpt = d.Data
		return
	}
	if a != nil && len(a.command.Document.Check()) == 0 {
		if excerpt := event.Excerpt(a.command.Document); len(excerpt) <= maxExcerpt {
			dead.Excerpt = excerpt
		}
		if len(a.command.Secrets()) == 0 {
			sum := sha256.Sum256(d.Data)
			dead.SHA256 = hex.EncodeToString(sum[:])
		}
	}
	if dead.Excerpt == nil && len(d.Data) > 0 {
		shape := event.ShapeOf(d.Data)
		dead.Shape = &shape
	}
}

// deadMessage makes the CloudEvent of a dead letter. Its id names the message and the reason, so
// that JetStream stores one dead letter of them however often the message is delivered. A stream
// that was made again has other messages under the same sequences.
func (e *Engine) deadMessage(dead event.DeadLetter) (*nats.Msg, error) {
	id := fmt.Sprintf("%s/%d/%s", dead.Stream, dead.Sequence, dead.Reason)
	if dead.Incarnation != "" {
		id += "/" + dead.Incarnation
	}
	out, err := event.New(id, Source(e.cfg.Domain), event.TypeDeadLetter, dead)
	if err != nil {
		return nil, err
	}
	out.SetTime(dead.Time)
	event.Extend(&out,
		event.Attribute{Name: event.AttrTenantID, Value: dead.Tenant},
		event.Attribute{Name: event.AttrCausationID, Value: dead.ID},
		event.Attribute{Name: event.AttrCommandID, Value: dead.ID},
		event.Attribute{Name: event.AttrCommandSource, Value: dead.Source},
		event.Attribute{Name: event.AttrOperationID, Value: dead.OperationID},
		event.Attribute{Name: event.AttrCorrelationID, Value: dead.CorrelationID},
		event.Attribute{Name: event.AttrTraceParent, Value: dead.TraceParent},
	)
	header, body, err := event.Encode(out, event.Binary)
	if err != nil {
		return nil, err
	}
	header.Set(jetstream.MsgIDHeader, id)
	return &nats.Msg{Subject: topology.DeadSubject(dead.Tenant, e.cfg.Domain, dead.OperationID), Header: header, Data: body}, nil
}

// publishedSubject gives the subject that a stored command was published to; any other as it is.
func publishedSubject(stored string) string {
	if address, ok := topology.ParseCommandSubject(stored); ok {
		return topology.PublishedSubject(address)
	}
	return stored
}

// tenantOf gives the tenant of a command's subject; "" if it cannot stand in another subject.
func tenantOf(subject string) string {
	tenant, _ := topology.SubjectTokens(subject)
	if topology.CheckTenant(tenant) != nil {
		return ""
	}
	return tenant
}

// deadLetterCommand publishes a dead letter about a task's command.
func (e *Engine) deadLetterCommand(ctx context.Context, t *task, reason, detail string) error {
	d := t.command
	d.Stream = topology.StreamCommands
	if place, ok := topology.ParseCommandSubject(d.Subject); ok {
		d.Consumer = bus.CommandConsumer(e.cfg.Domain, place.Generation, place.Partition).Durable
	}
	return e.deadLetter(ctx, deadLetter{reason: reason, detail: detail, attempt: t.attempt}, d)
}

// failGone ends an operation whose command is gone from COMMANDS, for the reason of a dead letter.
// What its results carry stands in its record. Without a record there is only the dead letter. The
// same goes for the record of a command on another key, whose own reference decides. Nothing was
// lost of an operation that has its outcome: a command with a secret is removed after that.
func (e *Engine) failGone(ctx context.Context, t *task, l deadLetter) (step, error) {
	key, ref := t.key, t.reference
	last, err := e.records.lastOf(key.Tenant, e.cfg.Domain, ref.OperationID)
	if isRecordUnreadable(err) {
		last, err = &noEntry, nil
	}
	if err != nil {
		return step{}, err
	}
	if last.state.Terminal() && l.reason == Expired {
		return step{kind: finished}, nil
	}
	l.last = last
	gone := bus.Delivery{Stream: topology.StreamCommands, Sequence: ref.Sequence, Subject: topology.PublishedSubject(key)}
	if err := e.deadLetter(ctx, l, gone); err != nil {
		return step{}, err
	}
	if last.sequence == 0 || last.state.Terminal() || last.operation.Key != key.Key {
		return step{kind: finished}, nil
	}
	kind := failure.Unavailable // certainly not carried out
	if last.isHeld() || last.state != event.StateWaiting {
		kind = failure.Unknown
	}
	w := &writer{records: e.records, sequence: last.sequence, envelope: last.envelope}
	return step{kind: finished}, w.publish(ctx, event.FailedType(e.cfg.Domain), event.FailedData{
		Operation: last.operation, Failure: event.FailureData{Kind: string(kind), Code: l.reason, Text: l.detail}, Since: pastOrNil(last.since, e.Now().UTC()),
	})
}

// malformed takes a message that Watermill cannot represent, for instance with a header that is
// given twice. A command is read all the same: its publisher is answered if that is possible.
func (e *Engine) malformed(ctx context.Context, d bus.Delivery, reason error) error {
	if _, ok := topology.ParseCommandSubject(d.Subject); ok {
		return e.onCommand(ctx, d, func() {})
	}
	return e.deadLetter(ctx, unreadable(reason), d)
}
