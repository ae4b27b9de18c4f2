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
	step   func(string)
	now    func() time.Time
	// unguarded: see Config.Unsafe.
	unguarded bool
}

// entry is where an operation's record stands. The zero entry is an operation of which nothing is recorded.
type entry struct {
	sequence    uint64 // of the operation's last event; 0: none
	state       event.State
	operation   event.OperationData
	attempt     int
	since       time.Time // of the first failure in a row
	sentAt      time.Time // when a call was announced that has no answer yet
	nextAttempt time.Time // until when the operation is left alone
	by          event.CommandRef
	envelope    envelope
}

// conflicts reports whether the record belongs to a command with other type or data.
func (e entry) conflicts(run *Run) bool {
	return e.sequence > 0 && e.operation.Fingerprint != run.Operation.Fingerprint
}

func (e entry) cancelledBy(run *Run) bool {
	return e.state == event.Cancelled && e.by == event.CommandRef{Source: run.Command.Source(), ID: run.Command.ID()}
}

// last reads an operation's last event.
func (r *record) last(ctx context.Context, run *Run) (entry, error) {
	return r.lastOf(ctx, run.address.Domain, run.ID)
}

func (r *record) lastOf(ctx context.Context, domain event.Domain, id string) (entry, error) {
	r.step("read-record")
	msg, err := r.events.GetLastMsgForSubject(ctx, bus.EventSubject(domain, id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("read the record of operation %s: %w", id, err)
	}
	e, err := event.Decode(msg.Header, msg.Data)
	if err != nil {
		return entry{}, fmt.Errorf("event %d is not ours: %w", msg.Sequence, err)
	}
	return entryOf(msg.Sequence, e)
}

// entryOf reads what an operation's last event says.
func entryOf(sequence uint64, e event.Event) (entry, error) {
	state, ok := event.StateOf(e)
	if !ok {
		return entry{}, fmt.Errorf("event %d has a type that says nothing of an operation's state: %s", sequence, e.Type())
	}
	var data struct {
		Operation     event.OperationData `json:"operation"`
		Reason        string              `json:"reason"`
		Since         time.Time           `json:"since"`
		SentAt        time.Time           `json:"sentAt"`
		SettleAt      time.Time           `json:"settleAt"`
		NextAttemptAt time.Time           `json:"nextAttemptAt"`
		By            event.CommandRef    `json:"by"`
	}
	if err := e.DataAs(&data); err != nil {
		return entry{}, fmt.Errorf("event %d: %w", sequence, err)
	}
	last := entry{
		sequence: sequence, state: state, operation: data.Operation, attempt: data.Operation.Attempt,
		since: data.Since, sentAt: data.SentAt, nextAttempt: data.NextAttemptAt, by: data.By, envelope: envelopeOf(e),
	}
	switch {
	case state == event.Started:
		last.sentAt, last.nextAttempt = e.Time(), data.SettleAt
	case data.Reason == event.WaitScheduled:
		last.attempt, last.since = 0, time.Time{} // nothing has been tried, and nothing has failed
	}
	return last, nil
}

// envelope are the attributes that all events of an operation share.
type envelope struct {
	domain      event.Domain
	operationID string
	subject     string
	extensions  map[string]string
}

// envelope of the results of a command.
func (r *Run) envelope() envelope {
	return envelope{domain: r.address.Domain, operationID: r.ID, subject: r.Command.Subject(), extensions: map[string]string{
		event.TenantID:      r.Tenant,
		event.CorrelationID: event.Extension(r.Command, event.CorrelationID),
		event.TraceParent:   event.Extension(r.Command, event.TraceParent),
		event.CausationID:   r.Command.ID(),
		event.CommandID:     r.Command.ID(),
		event.CommandSource: r.Command.Source(),
		event.Operation:     r.ID,
	}}
}

// envelopeOf is the envelope that an earlier event of the operation has.
func envelopeOf(e event.Event) envelope {
	v := envelope{domain: event.DomainOf(e.Type()), operationID: event.Extension(e, event.Operation), subject: e.Subject(), extensions: map[string]string{}}
	for name := range e.Extensions() {
		v.extensions[name] = event.Extension(e, name)
	}
	return v
}

// writer appends events to one operation's record, each under the guard that nobody else has.
type writer struct {
	*record
	envelope envelope
	secrets  secrets
	sequence uint64
	run      *Run // whose tenant the handler may set on the way; nil: the envelope is whole
}

func (r *record) writer(run *Run, last entry) *writer {
	return &writer{record: r, run: run, secrets: run.secrets, sequence: last.sequence}
}

// patience is how long an event is offered to a JetStream that does not answer. The vendor may have acted by then: it is
// better to hold the message than to forget the outcome.
const patience = 2 * time.Minute

// publish appends one event. It holds on while JetStream is away. An error means that another
// replica was faster, or that patience ended: the message must come back and read the record again.
func (w *writer) publish(ctx context.Context, eventType string, data any) error {
	msg, err := w.message(eventType, data)
	if err != nil {
		return err
	}
	options := []jetstream.PublishOpt{jetstream.WithMsgID(msg.Header.Get("ce-id")), jetstream.WithExpectLastSequencePerSubject(w.sequence)}
	if w.unguarded {
		options = nil
	}
	ack, err := backoff.Retry(ctx, func() (*jetstream.PubAck, error) {
		ack, err := w.js.PublishMsg(ctx, msg, options...)
		if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return nil, backoff.Permanent(fmt.Errorf("another replica has written first: %w", err))
		}
		return ack, err
	}, backoff.WithMaxElapsedTime(patience))
	if err != nil {
		return err
	}
	if ack.Duplicate && ack.Sequence <= w.sequence {
		return fmt.Errorf("event %s was written before", msg.Header.Get("ce-id"))
	}
	w.sequence = ack.Sequence
	return nil
}

func (w *writer) message(eventType string, data any) (*nats.Msg, error) {
	if w.run != nil {
		w.envelope = w.run.envelope()
	}
	// Only one event can follow a given one, but two replicas may try: the type keeps theirs apart for deduplication.
	id := fmt.Sprintf("%s.%d.%s", w.envelope.operationID, w.sequence, eventType[len(event.Prefix):])
	e, err := event.New(id, w.source, eventType, w.secrets.scrub(data))
	if err != nil {
		return nil, err
	}
	e.SetTime(w.now().UTC())
	if w.envelope.subject != "" {
		e.SetSubject(w.envelope.subject)
	}
	for name, v := range w.envelope.extensions {
		if v != "" {
			e.SetExtension(name, v)
		}
	}
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return nil, err
	}
	return &nats.Msg{Subject: bus.EventSubject(w.envelope.domain, w.envelope.operationID), Header: header, Data: body}, nil
}
