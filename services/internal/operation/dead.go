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
)

// Reasons of the engine why a message ends in DEAD; JetStream's own are in package event.
const (
	Unreadable     = "unreadable"           // no CloudEvent can be made of it
	Conflict       = "idempotency-conflict" // tenant, source and id of an earlier command, but another one
	Expired        = "expired"              // it waited longer than COMMANDS keeps commands
	OutcomeUnknown = "outcome-unknown"      // whether it was carried out can not be read back: a person has to look
	// RecordUnreadable: the last event on its operation's subject says nothing of its state.
	RecordUnreadable = "record-unreadable"
	// ReferenceMismatch: what waited refers to another command, since COMMANDS was restored or made
	// again.
	ReferenceMismatch = "reference-mismatch"
	// InternalFault: a fault of ours, which its publisher can not mend.
	InternalFault       = "internal"
	AckedWithoutOutcome = "acked-without-outcome" // delivered and acknowledged, but without an outcome
)

const largestExcerpt = 16 << 10

// letter is what the engine knows of a message that it gives up.
type letter struct {
	Reason, Detail string
	run            *Attempt // nil: unreadable, or gone
	// what is known of a command that no operation can come of; else nil
	unreadable *event.UnreadableError
	// where an operation stands whose command is gone; else nil
	last *entry
}

// unreadable is the letter of a message that no operation can come of.
func unreadable(err error) letter {
	l := letter{Reason: Unreadable, Detail: err.Error()}
	l.unreadable, _ = errors.AsType[*event.UnreadableError](err)
	return l
}

// conflict is the letter of a command whose source and id an earlier one has used.
func conflict(run *Attempt) letter {
	return letter{Reason: Conflict, Detail: "a command with the same tenant, source and id, but with another type, data, notbefore or expirytime, was accepted before", run: run}
}

// bury publishes a dead letter. nil means that the message is settled.
func (e *Engine) bury(ctx context.Context, l letter, d bus.Delivery) error {
	if e.Failpoints.Disabled(failpoint.DeadLetters) {
		return nil
	}
	dead := event.DeadLetter{
		Reason: l.Reason, Detail: l.Detail, Stream: d.Stream, Sequence: d.Sequence, Subject: publishedSubject(d.Subject), Consumer: d.Consumer,
		Tenant: tenantOf(d.Subject), Time: e.Now().UTC(), Size: len(d.Data),
	}
	if l.unreadable != nil {
		dead.Source, dead.ID, dead.Type = l.unreadable.Source, l.unreadable.ID, l.unreadable.Type
	}
	if d.Stream == topology.StreamCommands {
		dead.Incarnation = e.parking.incarnation()
	}
	if l.run != nil {
		dead.Source, dead.ID, dead.Type, dead.OperationID = l.run.Command.Source(), l.run.Command.ID(), l.run.Command.Type(), l.run.ID
		dead.Tenant = l.run.Tenant
		dead.CorrelationID, dead.TraceParent = event.Extension(l.run.Command, event.AttrCorrelationID), event.Extension(l.run.Command, event.AttrTraceParent)
	} else if l.last != nil && l.last.sequence > 0 {
		dead.Source, dead.ID = l.last.envelope.attribute(event.AttrCommandSource), l.last.envelope.attribute(event.AttrCommandID)
		dead.Type, dead.OperationID, dead.Tenant = l.last.operation.CommandType, l.last.envelope.operationID, l.last.envelope.tenant
		dead.CorrelationID, dead.TraceParent = l.last.envelope.attribute(event.AttrCorrelationID), l.last.envelope.attribute(event.AttrTraceParent)
	}
	e.describe(&dead, l.run, d)
	msg, err := e.deadMessage(dead)
	if err != nil {
		return err
	}
	e.Failpoints.Reach(failpoint.DeadLetter)
	if _, err := e.JS.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("dead-letter message %d of %s: %w", d.Sequence, d.Stream, err)
	}
	e.Failpoints.Reach(failpoint.DeadLettered)
	e.Log.Warn("dead-lettered", "reason", l.Reason, "detail", l.Detail, "stream", d.Stream, "sequence", d.Sequence)
	return nil
}

// describe tells of a message what can be told. Only data that fits its schema is excerpted, since
// only there is it known what is secret. Of any other the type, the size and the names of members
// are told.
func (e *Engine) describe(dead *event.DeadLetter, run *Attempt, d bus.Delivery) {
	if e.Failpoints.Disabled(failpoint.Redaction) && json.Valid(d.Data) {
		dead.Excerpt = d.Data
		return
	}
	if run != nil && len(run.command.Document.Check()) == 0 {
		if excerpt := event.Excerpt(run.command.Document); len(excerpt) <= largestExcerpt {
			dead.Excerpt = excerpt
		}
		if len(run.command.Secrets()) == 0 {
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
// that JetStream stores one letter of them however often the message is delivered. A stream that
// was made again has other messages under the same sequences.
func (e *Engine) deadMessage(dead event.DeadLetter) (*nats.Msg, error) {
	id := fmt.Sprintf("%s/%d/%s", dead.Stream, dead.Sequence, dead.Reason)
	if dead.Incarnation != "" {
		id += "/" + dead.Incarnation
	}
	letter, err := event.New(id, Source(e.Domain), event.TypeDeadLetter, dead)
	if err != nil {
		return nil, err
	}
	letter.SetTime(dead.Time)
	event.Extend(&letter,
		event.Attribute{Name: event.AttrTenantID, Value: dead.Tenant},
		event.Attribute{Name: event.AttrCausationID, Value: dead.ID},
		event.Attribute{Name: event.AttrCommandID, Value: dead.ID},
		event.Attribute{Name: event.AttrCommandSource, Value: dead.Source},
		event.Attribute{Name: event.AttrOperationID, Value: dead.OperationID},
		event.Attribute{Name: event.AttrCorrelationID, Value: dead.CorrelationID},
		event.Attribute{Name: event.AttrTraceParent, Value: dead.TraceParent},
	)
	header, body, err := event.Encode(letter, event.Binary)
	if err != nil {
		return nil, err
	}
	header.Set(jetstream.MsgIDHeader, id)
	return &nats.Msg{Subject: topology.DeadSubject(dead.Tenant, e.Domain, dead.OperationID), Header: header, Data: body}, nil
}

// publishedSubject gives the subject that a stored command was published to; any other as it is.
func publishedSubject(stored string) string {
	if address, ok := topology.ParseCommandSubject(stored); ok {
		return topology.PublishedSubject(address)
	}
	return stored
}

// tenantOf gives the tenant of a command's subject; "" where it cannot stand in another subject.
func tenantOf(subject string) string {
	tenant, _ := topology.SubjectTokens(subject)
	if topology.CheckTenant(tenant) != nil {
		return ""
	}
	return tenant
}

// buryRun is bury for an operation whose command is known.
func (e *Engine) buryRun(ctx context.Context, l letter) error {
	d, err := e.parking.original(ctx, parkedCommand{Sequence: l.run.sequence})
	if err != nil {
		return err
	}
	d.Stream, d.Sequence = topology.StreamCommands, l.run.sequence // also where it is gone
	d.Consumer = bus.CommandConsumer(e.Domain, l.run.address.Partition).Durable
	return e.bury(ctx, l, d)
}

// expire ends an operation whose command is gone from COMMANDS, for the reason of a letter. What
// its results carry stands in its record. Only a dead letter is possible where there is none, or
// where it is the record of a command on another key, whose own reference decides.
func (e *Engine) expire(ctx context.Context, key topology.Address, c parkedCommand, l letter) error {
	last, err := e.record.lastOf(key.Tenant, e.Domain, c.OperationID)
	if isRecordUnreadable(err) {
		last, err = &nothing, nil
	}
	if err != nil {
		return err
	}
	l.last = last
	if err := e.bury(ctx, l, bus.Delivery{Stream: topology.StreamCommands, Sequence: c.Sequence, Subject: topology.PublishedSubject(key)}); err != nil || last.state.Terminal() || last.operation.Key != key.Key || last.sequence == 0 {
		return err
	}
	kind := failure.Unavailable // certainly not carried out
	if last.held || last.state != event.StateWaiting {
		kind = failure.Unknown
	}
	w := &writer{record: e.record, sequence: last.sequence, envelope: last.envelope}
	return w.publish(ctx, event.FailedType(e.Domain), event.FailedData{
		Operation: last.operation, Failure: event.FailureData{Kind: string(kind), Code: l.Reason, Text: l.Detail}, Since: before(last.since, e.Now().UTC()),
	})
}

// Malformed takes what could not be made a message of Watermill's, such as a header that is given
// twice. A command is read all the same: its publisher is answered wherever that is possible.
func (e *Engine) Malformed(ctx context.Context, d bus.Delivery, reason error) error {
	if _, ok := topology.ParseCommandSubject(d.Subject); ok {
		return e.command(ctx, d, func() {})
	}
	return e.bury(ctx, unreadable(reason), d)
}
