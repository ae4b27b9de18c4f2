package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
)

// Reasons of the engine why a message ends in DEAD; JetStream's own are in package event.
const (
	Unreadable = "unreadable"           // no CloudEvent can be made of it
	Conflict   = "idempotency-conflict" // source and id of an earlier command, other data
	Expired    = "expired"              // it waited longer than COMMANDS keeps commands
	Unsettled  = "unsettled"            // whether it was carried out can not be read back: a person has to look
	Lost       = "lost"                 // delivered and acknowledged, but without an outcome
)

const largestExcerpt = 16 << 10

// letter is what the engine knows of a message that it gives up.
type letter struct {
	Reason, Detail string
	run            *Run   // nil: unreadable, or gone
	last           *entry // where an operation stands whose command is gone; else nil
}

// conflict is the letter of a command whose source and id an earlier one has used.
func conflict(run *Run) letter {
	return letter{Reason: Conflict, Detail: "a command with the same source and id but other data was accepted before", run: run}
}

// bury publishes a dead letter. nil means that the message is settled.
func (e *Engine) bury(ctx context.Context, l letter, d bus.Delivery) error {
	if e.unsafe(Bury) {
		return nil
	}
	dead := event.DeadLetter{
		Reason: l.Reason, Detail: l.Detail, Stream: d.Stream, Sequence: d.Sequence, Subject: d.Subject, Consumer: d.Consumer,
		Time: e.Now().UTC(), Size: len(d.Data),
	}
	body := d.Data
	if l.run != nil {
		dead.Source, dead.ID, dead.Type, dead.OperationID = l.run.Command.Source(), l.run.Command.ID(), l.run.Command.Type(), l.run.ID
		body = l.run.Command.Data()
	} else if l.last != nil && l.last.sequence > 0 {
		dead.Source, dead.ID = l.last.envelope.attribute(event.CommandSource), l.last.envelope.attribute(event.CommandID)
		dead.Type, dead.OperationID = l.last.operation.CommandType, l.last.envelope.operationID
	}
	if e.unsafe(Redaction) && json.Valid(body) {
		dead.Excerpt = body
	} else if excerpt := event.Redact(body); excerpt != nil && len(excerpt) <= largestExcerpt {
		dead.Excerpt = excerpt
	}
	if len(event.Secrets(body)) == 0 {
		sum := sha256.Sum256(d.Data)
		dead.SHA256 = hex.EncodeToString(sum[:])
	}
	raw, err := json.Marshal(dead)
	if err != nil {
		return err
	}
	e.Step("bury")
	// One letter a message and reason, however often it is delivered.
	id := fmt.Sprintf("%s/%d/%s", d.Stream, d.Sequence, l.Reason)
	if _, err := e.JS.Publish(ctx, bus.DeadSubject(e.Domain, dead.OperationID), raw, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("dead-letter message %d of %s: %w", d.Sequence, d.Stream, err)
	}
	e.Step("buried")
	e.Log.Warn("dead-lettered", "reason", l.Reason, "detail", l.Detail, "stream", d.Stream, "sequence", d.Sequence)
	return nil
}

// buryRun is bury for an operation whose command is known.
func (e *Engine) buryRun(ctx context.Context, l letter) error {
	d, err := e.parking.original(ctx, parkedCommand{Sequence: l.run.sequence})
	if err != nil {
		return err
	}
	d.Stream, d.Sequence = bus.Commands, l.run.sequence // also where it is gone
	d.Consumer = bus.CommandConsumer(e.Domain, l.run.address.Partition).Durable
	return e.bury(ctx, l, d)
}

// expire ends an operation whose command is gone from COMMANDS. What its results carry stands in its record; nothing but a dead letter is
// possible where there is none.
func (e *Engine) expire(ctx context.Context, c parkedCommand) error {
	last, err := e.record.lastOf(e.Domain, c.OperationID)
	if err != nil {
		return err
	}
	l := letter{Reason: Expired, Detail: "COMMANDS no longer holds the command that waits", last: last}
	if err := e.bury(ctx, l, bus.Delivery{Stream: bus.Commands, Sequence: c.Sequence}); err != nil || last.sequence == 0 || last.state.Terminal() {
		return err
	}
	kind := failure.Unavailable // certainly not carried out
	if last.held || last.state != event.Waiting {
		kind = failure.Unknown
	}
	w := &writer{record: e.record, sequence: last.sequence, envelope: last.envelope}
	return w.publish(ctx, event.FailedType(e.Domain), event.FailedData{
		Operation: last.operation, Failure: event.FailureData{Kind: string(kind), Code: Expired, Text: "it waited longer than commands are kept"}, Since: before(last.since, e.Now().UTC()),
	})
}

// Malformed dead-letters what could not even be made a message.
func (e *Engine) Malformed(ctx context.Context, d bus.Delivery, reason error) error {
	return e.bury(ctx, letter{Reason: Unreadable, Detail: reason.Error()}, d)
}
