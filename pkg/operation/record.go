package operation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// record is the event stream as the memory of operations.
type record struct {
	js     jetstream.JetStream
	events jetstream.Stream
	source string
}

// entry is where an operation's record stands. The zero entry is an operation of which nothing is recorded.
type entry struct {
	sequence    uint64 // of the operation's last event; 0: none
	state       event.State
	attempt     int
	fingerprint string
	since       time.Time // of the first failure in a row
	nextAttempt time.Time
}

// conflicts reports whether the record belongs to a command with other type or data.
func (e entry) conflicts(run *Run) bool {
	return e.fingerprint != "" && e.fingerprint != run.Operation.Fingerprint
}

// last reads an operation's last event.
func (r *record) last(ctx context.Context, domain event.Domain, id string) (entry, error) {
	msg, err := r.events.GetLastMsgForSubject(ctx, bus.EventSubject(domain, id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, err
	}
	e, err := event.Decode(msg.Header, msg.Data)
	if err != nil {
		return entry{}, fmt.Errorf("event %d is not ours: %w", msg.Sequence, err)
	}
	state, ok := event.StateOf(e)
	if !ok {
		return entry{}, fmt.Errorf("event %d has a type that says nothing of an operation's state: %s", msg.Sequence, e.Type())
	}
	var data struct {
		Operation     event.OperationData `json:"operation"`
		Since         time.Time           `json:"since"`
		NextAttemptAt time.Time           `json:"nextAttemptAt"`
	}
	if err := e.DataAs(&data); err != nil {
		return entry{}, fmt.Errorf("event %d: %w", msg.Sequence, err)
	}
	return entry{
		sequence: msg.Sequence, state: state, attempt: data.Operation.Attempt, fingerprint: data.Operation.Fingerprint,
		since: data.Since, nextAttempt: data.NextAttemptAt,
	}, nil
}

// writer appends events to one operation's record, each under the guard that nobody else has.
type writer struct {
	*record
	run      *Run
	sequence uint64
}

func (r *record) writer(run *Run, last entry) *writer {
	return &writer{record: r, run: run, sequence: last.sequence}
}

// patience is how long an event is offered to a JetStream that does not answer. The vendor has acted by then: it is
// better to hold the message than to forget the outcome.
const patience = 2 * time.Minute

// publish appends one event. It holds on while JetStream is away. An error means that another
// replica was faster, or that patience ended: the message must come back and read the record again.
func (w *writer) publish(ctx context.Context, eventType string, data any) error {
	msg, err := w.message(eventType, data)
	if err != nil {
		return err
	}
	ack, err := backoff.Retry(ctx, func() (*jetstream.PubAck, error) {
		ack, err := w.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(w.sequence), jetstream.WithMsgID(msg.Header.Get("ce-id")))
		if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return nil, backoff.Permanent(fmt.Errorf("another replica has written first: %w", err))
		}
		return ack, err
	}, backoff.WithMaxElapsedTime(patience))
	if err != nil {
		return err
	}
	w.sequence = ack.Sequence
	return nil
}

func (w *writer) message(eventType string, data any) (*nats.Msg, error) {
	command := w.run.Command
	// Only one event can follow a given one, so its sequence makes the id unique.
	e, err := event.New(fmt.Sprintf("%s.%d", w.run.ID, w.sequence), w.source, eventType, w.run.secrets.scrub(data))
	if err != nil {
		return nil, err
	}
	e.SetTime(time.Now().UTC())
	if command.Subject() != "" {
		e.SetSubject(command.Subject())
	}
	for name, v := range map[string]string{
		event.TenantID:      w.run.Tenant,
		event.CorrelationID: event.Extension(command, event.CorrelationID),
		event.TraceParent:   event.Extension(command, event.TraceParent),
	} {
		if v != "" {
			e.SetExtension(name, v)
		}
	}
	e.SetExtension(event.CausationID, command.ID())
	e.SetExtension(event.CommandID, command.ID())
	e.SetExtension(event.CommandSource, command.Source())
	e.SetExtension(event.Operation, w.run.ID)
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return nil, err
	}
	return &nats.Msg{Subject: bus.EventSubject(w.run.domain, w.run.ID), Header: header, Data: body}, nil
}
