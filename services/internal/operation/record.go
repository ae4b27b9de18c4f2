package operation

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// record is the event stream as the memory of operations.
type record struct {
	js         jetstream.JetStream
	events     *bus.LastMessageReader
	source     string
	failpoints failpoint.Set
	now        func() time.Time
	// name is that of this process among all that write, and written counts what it has.
	name    string
	written atomic.Uint64
	// unguarded: see Config.Unsafe.
	unguarded bool
}

// entry is where an operation's record stands. It is not changed once read.
type entry struct {
	sequence    uint64 // of the operation's last event; 0: none
	state       event.State
	operation   event.OperationData
	attempt     int
	since       time.Time // of the first failure in a row
	sentAt      time.Time // when a call was announced that has no answer yet
	held        bool      // the vendor holds the call for a person's approval
	failure     event.FailureData
	written     time.Time // when that event was written
	nextAttempt time.Time // until when the operation is left alone
	by          event.CommandRef
	envelope    envelope
}

// conflicts reports whether the record belongs to a command with another type, data, notbefore or
// expirytime.
func (e *entry) conflicts(run *Attempt) bool {
	return e.sequence > 0 && e.operation.Fingerprint != run.Operation.Fingerprint
}

func (e *entry) cancelledBy(run *Attempt) bool {
	return e.state == event.StateCancelled && e.by == event.CommandRef{Source: run.Command.Source(), ID: run.Command.ID()}
}

// nothing is the entry of an operation that has no record.
var nothing entry

// last reads an operation's last event.
func (r *record) last(run *Attempt) (*entry, error) {
	return r.lastOf(run.Tenant, run.address.Domain, run.ID)
}

func (r *record) lastOf(tenant string, domain event.Domain, id string) (*entry, error) {
	return r.answer(r.ask(tenant, domain, id))
}

// ask has an operation's last event looked up; answer waits for it.
func (r *record) ask(tenant string, domain event.Domain, id string) bus.PendingRead {
	r.failpoints.Reach(failpoint.ReadRecord)
	return r.events.Request(topology.EventSubject(tenant, domain, id))
}

func (r *record) answer(q bus.PendingRead) (*entry, error) {
	d, found, err := q.Wait()
	r.failpoints.Reach(failpoint.RecordRead)
	if err != nil {
		return nil, fmt.Errorf("an operation's record: %w", err)
	}
	if !found {
		return &nothing, nil
	}
	e, err := event.Decode(d.Header, d.Data)
	if err != nil {
		return nil, &recordUnreadable{fmt.Errorf("event %d is not ours: %w", d.Sequence, err)}
	}
	last, err := entryOf(d.Sequence, e)
	if err != nil {
		return nil, &recordUnreadable{err}
	}
	return last, nil
}

// recordUnreadable is the error that the last event on an operation's subject says nothing of its
// state: another program wrote it, or a later version of this one.
type recordUnreadable struct{ cause error }

func (r *recordUnreadable) Error() string {
	return "the operation's record can not be read: " + r.cause.Error()
}
func (r *recordUnreadable) Unwrap() error { return r.cause }

// entryOf reads what an operation's last event says.
func entryOf(sequence uint64, e event.Event) (*entry, error) {
	state, ok := event.StateOf(e)
	if !ok {
		// A later version may know further types. What they mean for the operation stands beside
		// them.
		state = event.State(event.Extension(e, event.AttrState))
		ok = state.Known()
	}
	if !ok {
		return nil, fmt.Errorf("event %d has a type that says nothing of an operation's state: %s", sequence, e.Type())
	}
	var data struct {
		Operation      event.OperationData `json:"operation"`
		Reason         string              `json:"reason"`
		Since          time.Time           `json:"since"`
		SentAt         time.Time           `json:"sentAt"`
		LeaseExpiresAt time.Time           `json:"leaseExpiresAt"`
		NextAttemptAt  time.Time           `json:"nextAttemptAt"`
		By             event.CommandRef    `json:"by"`
		Failure        event.FailureData   `json:"failure"`
	}
	if err := e.DataAs(&data); err != nil {
		return nil, fmt.Errorf("event %d: %w", sequence, err)
	}
	last := &entry{
		sequence: sequence, state: state, operation: data.Operation, attempt: data.Operation.Attempt,
		since: data.Since, sentAt: data.SentAt, nextAttempt: data.NextAttemptAt, by: data.By, failure: data.Failure, envelope: envelopeOf(e),
		written: e.Time(), held: state == event.StateWaiting && data.Failure.Kind == string(failure.Suspended),
	}
	switch {
	case state == event.StateStarted:
		last.sentAt, last.nextAttempt = last.written, data.LeaseExpiresAt
	case data.Reason == event.WaitBlockedByKey:
		// its turn comes when those before it are settled
		last.attempt, last.since, last.nextAttempt = 0, time.Time{}, time.Time{}
	case data.Reason == event.WaitScheduled, data.Reason == event.WaitConcurrencyLimit:
		if last.attempt--; last.attempt == 0 { // nothing has been tried
			last.since = time.Time{}
		}
	}
	return last, nil
}

// envelope are the attributes that all events of an operation share.
type envelope struct {
	tenant      string
	domain      event.Domain
	operationID string
	subject     string
	attributes  []event.Attribute
}

// envelope of the results of a command.
func (r *Attempt) envelope() envelope {
	return envelope{tenant: r.Tenant, domain: r.address.Domain, operationID: r.ID, subject: r.Command.Subject(), attributes: r.Attributes()}
}

// Attributes are the extension attributes of everything that is published because of the command,
// for [event.Extend]; "" where one has no value.
func (r *Attempt) Attributes() []event.Attribute {
	return []event.Attribute{
		{Name: event.AttrTenantID, Value: r.Tenant},
		{Name: event.AttrCausationID, Value: r.Command.ID()},
		{Name: event.AttrCommandID, Value: r.Command.ID()},
		{Name: event.AttrCommandSource, Value: r.Command.Source()},
		{Name: event.AttrOperationID, Value: r.ID},
		{Name: event.AttrCorrelationID, Value: event.Extension(r.Command, event.AttrCorrelationID)},
		{Name: event.AttrTraceParent, Value: event.Extension(r.Command, event.AttrTraceParent)},
	}
}

// envelopeOf is the envelope that an earlier event of the operation has.
func envelopeOf(e event.Event) envelope {
	v := envelope{tenant: event.Extension(e, event.AttrTenantID), domain: event.DomainOf(e.Type()), operationID: event.Extension(e, event.AttrOperationID), subject: e.Subject()}
	for name := range e.Extensions() {
		v.attributes = append(v.attributes, event.Attribute{Name: name, Value: event.Extension(e, name)})
	}
	return v
}

// attribute gives one by its name; "" where it is absent.
func (v *envelope) attribute(name string) string {
	for _, a := range v.attributes {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// writer appends events to one operation's record, each under the guard that nobody else has.
type writer struct {
	*record
	envelope envelope
	secrets  secrets
	mu       sync.Mutex // an attempt, and who says that it takes long
	sequence uint64
}

func (r *record) writer(run *Attempt, last *entry) *writer {
	return &writer{record: r, envelope: run.envelope(), secrets: run.secrets, sequence: last.sequence}
}

// patience is how long an event is offered to a JetStream that does not answer. The vendor may have
// acted by then: it is better to hold the message than to forget the outcome.
const patience = 2 * time.Minute

// publish appends one event. It holds on while JetStream is away. An error means that another
// replica was faster, or that patience ended: the message must come back and read the record again;
// but for an *unpublishable.
func (w *writer) publish(ctx context.Context, eventType string, data any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(ctx, eventType, data)
}

// publishAside appends an event beside an attempt that is at work: none where the attempt writes
// just now, or has since a sequence.
func (w *writer) publishAside(ctx context.Context, since uint64, eventType string, data any) error {
	if !w.mu.TryLock() {
		return nil
	}
	defer w.mu.Unlock()
	if w.sequence != since {
		return nil
	}
	return w.write(ctx, eventType, data)
}

func (w *writer) write(ctx context.Context, eventType string, data any) error {
	msg, err := w.message(eventType, data)
	if err != nil {
		return &unpublishable{eventType, err}
	}
	if !w.unguarded {
		// The message's id is this message's alone: it spares a repetition below. A stream of
		// several replicas looks for it before it looks at the sequence, and would tell a writer
		// that came too late that the other's event is its own.
		msg.Header.Set(jetstream.MsgIDHeader, w.name+"."+strconv.FormatUint(w.written.Add(1), 10))
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(w.sequence, 10))
	}
	ack, err := backoff.Retry(ctx, func() (*jetstream.PubAck, error) {
		if err := ctx.Err(); err != nil { // broken off: what it came to then says nothing of the vendor
			return nil, backoff.Permanent(err)
		}
		// once offered it is better to know; JetStream has seconds to answer
		ack, err := w.js.PublishMsg(context.WithoutCancel(ctx), msg)
		if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return nil, backoff.Permanent(fmt.Errorf("%w: %w", errOvertaken, err))
		}
		if tooLarge(err) {
			return nil, backoff.Permanent(&unpublishable{eventType, err})
		}
		return ack, err
	}, backoff.WithMaxElapsedTime(patience))
	if err != nil {
		return err
	}
	w.sequence = ack.Sequence
	return nil
}

// errOvertaken is the error of a writer that the record has gone on without.
var errOvertaken = errors.New("another replica has written first")

// append publishes an event that ends nothing: without it the attempt can not go on.
func (w *writer) append(ctx context.Context, eventType string, data any) error {
	err := w.publish(ctx, eventType, data)
	if _, never := errors.AsType[*unpublishable](err); err == nil || never {
		return err
	}
	return &notRecorded{err}
}

// JetStream's error codes for messages that are too large.
const (
	messageTooLarge = 10054
	headerTooLarge  = 10097
)

func tooLarge(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, nats.ErrMaxPayload) || ok && (refused.ErrorCode == messageTooLarge || refused.ErrorCode == headerTooLarge)
}

func (w *writer) message(eventType string, data any) (*nats.Msg, error) {
	// Only one event can follow a given one.
	id := w.envelope.operationID + "." + strconv.FormatUint(w.sequence, 10) + "." + eventType[len(event.Prefix):]
	e, err := event.New(id, w.source, eventType, w.secrets.scrub(data))
	if err != nil {
		return nil, err
	}
	e.SetTime(w.now().UTC())
	if w.envelope.subject != "" {
		e.SetSubject(w.envelope.subject)
	}
	event.Extend(&e, w.envelope.attributes...)
	if state, ok := event.StateOf(e); ok {
		event.Extend(&e, event.Attribute{Name: event.AttrState, Value: string(state)})
	}
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return nil, err
	}
	return &nats.Msg{Subject: topology.EventSubject(w.envelope.tenant, w.envelope.domain, w.envelope.operationID), Header: header, Data: body}, nil
}
