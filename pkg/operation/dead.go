package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// Reasons why a message ends in DEAD.
const (
	Unreadable = "unreadable"           // no CloudEvent can be made of it
	Conflict   = "idempotency-conflict" // source and id of an earlier command, other data
	Expired    = "expired"              // it waited longer than COMMANDS keeps commands
	Unsettled  = "unsettled"            // whether it was carried out can not be read back: a person has to look
	Lost       = "lost"                 // delivered and acknowledged, but without an outcome
)

// DeadLetter is the JSON body of a message in DEAD. It refers to the original, which stays in its stream, and
// does not repeat it: a command may hold a password.
type DeadLetter struct {
	// Reason is a short code; Detail says it in words.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	// Stream, Sequence and Subject say where the original is.
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Subject  string `json:"subject"`
	Consumer string `json:"consumer,omitempty"`
	// Source, ID, Type and OperationID are the command's, where it could be read.
	Source      string `json:"source,omitempty"`
	ID          string `json:"id,omitempty"`
	Type        string `json:"type,omitempty"`
	OperationID string `json:"operationId,omitempty"`
	// Time is when it was given up.
	Time time.Time `json:"time"`
	// Size in bytes and SHA256 of the original's body. A body with a secret has no SHA256, since a hash can be guessed from.
	Size   int    `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	// Excerpt is the data with its secrets redacted, if it is JSON and not large.
	Excerpt json.RawMessage `json:"excerpt,omitempty"`
}

// advisory is what JetStream says of a message that one of its consumers gave up (NATS ADR-12).
type advisory struct {
	Type       string    `json:"type"`
	Time       time.Time `json:"timestamp"`
	Stream     string    `json:"stream"`
	Consumer   string    `json:"consumer"`
	Sequence   uint64    `json:"stream_seq"`
	Deliveries int       `json:"deliveries"`
	Reason     string    `json:"reason"`
}

// Reasons of JetStream's own.
const (
	MaxDeliveries = "max-deliveries" // a consumer's MaxDeliver was reached
	Terminated    = "terminated"     // somebody terminated it
)

// ReadDeadLetter reads a message of the stream DEAD: a letter of ours, or an advisory of JetStream's.
func ReadDeadLetter(data []byte) (DeadLetter, error) {
	var l DeadLetter
	if err := json.Unmarshal(data, &l); err != nil {
		return l, errors.New("the dead letter itself is not in the form of one")
	}
	if l.Reason != "" && l.Stream != "" && l.Sequence > 0 {
		return l, nil
	}
	var a advisory
	if err := json.Unmarshal(data, &a); err != nil || a.Sequence == 0 {
		return l, errors.New("the dead letter itself is not in the form of one")
	}
	l = DeadLetter{Reason: Terminated, Detail: a.Reason, Stream: a.Stream, Sequence: a.Sequence, Consumer: a.Consumer, Time: a.Time}
	if strings.HasSuffix(a.Type, ".max_deliver") {
		l.Reason, l.Detail = MaxDeliveries, fmt.Sprintf("given up after %d deliveries", a.Deliveries)
	}
	return l, nil
}

const largestExcerpt = 16 << 10

// letter is what the engine knows of a message that it gives up.
type letter struct {
	Reason, Detail string
	run            *Run // nil: unreadable
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
	dead := DeadLetter{
		Reason: l.Reason, Detail: l.Detail, Stream: d.Stream, Sequence: d.Sequence, Subject: d.Subject, Consumer: d.Consumer,
		Time: e.Now().UTC(), Size: len(d.Data),
	}
	body := d.Data
	if l.run != nil {
		dead.Source, dead.ID, dead.Type, dead.OperationID = l.run.Command.Source(), l.run.Command.ID(), l.run.Command.Type(), l.run.ID
		body = l.run.Command.Data()
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
	e.Log.Warn("dead-lettered", "reason", l.Reason, "detail", l.Detail, "stream", d.Stream, "sequence", d.Sequence)
	return nil
}

// buryRun is bury for an operation whose command is known.
func (e *Engine) buryRun(ctx context.Context, l letter) error {
	d, err := e.parking.original(ctx, parkedCommand{Sequence: l.run.sequence})
	if err != nil {
		return err
	}
	return e.bury(ctx, l, d)
}

// Malformed dead-letters what could not even be made a message.
func (e *Engine) Malformed(ctx context.Context, d bus.Delivery, reason error) error {
	return e.bury(ctx, letter{Reason: Unreadable, Detail: reason.Error()}, d)
}
