package operation

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// records reads and writes the records of operations: the events of EVENTS.
type records struct {
	js         jetstream.JetStream
	events     *bus.LastMessageReader
	source     string
	failpoints failpoint.Set
	now        func() time.Time
}

// entry is the state of an operation by the last event of its record. It is not changed once read.
type entry struct {
	sequence    uint64 // of the operation's last event; 0: none
	state       event.State
	operation   event.OperationData
	attempt     int               // the number of the last attempt
	since       time.Time         // of the first failure in a row
	sentAt      time.Time         // when a call was announced or sent that has no answer yet
	failure     event.FailureData // of the last attempt
	written     time.Time         // when that event was written
	nextAttempt time.Time         // until when the operation is left alone
	by          event.CommandRef  // of the cancel that ended it
	envelope    envelope
}

// priorCall is the call that the record leaves in doubt; nil: none. A call that the vendor holds
// for approval is in doubt only if it is not repeatable: any other is made again.
func (e *entry) priorCall(h Handler) *PriorCall {
	held := h.NotRepeatable && e.isHeld()
	if !held && e.state != event.StateUnknown && e.state != event.StateStarted {
		return nil
	}
	return &PriorCall{SentAt: e.sentAt, Failure: e.failure, HeldForApproval: held}
}

// isHeld reports whether the vendor holds the last call for a person's approval.
func (e *entry) isHeld() bool {
	return e.state == event.StateWaiting && e.failure.Kind == string(failure.Suspended)
}

// conflicts reports whether the record belongs to a command with another type, data, notbefore or
// expirytime.
func (e *entry) conflicts(a *Attempt) bool {
	return e.sequence > 0 && e.operation.Fingerprint != a.Operation.Fingerprint
}

// cancelledBy reports whether a cancel has ended the operation.
func (e *entry) cancelledBy(a *Attempt) bool {
	return e.state == event.StateCancelled && e.by == event.CommandRef{Source: a.Command.Source(), ID: a.Command.ID()}
}

// noEntry is the entry of an operation that has no record.
var noEntry entry

// last reads an operation's last event.
func (r *records) last(a *Attempt) (*entry, error) {
	return r.lastOf(a.Tenant, a.address.Domain, a.ID)
}

func (r *records) lastOf(tenant string, domain event.Domain, id string) (*entry, error) {
	return r.wait(r.request(tenant, domain, id))
}

// request has an operation's last event looked up; wait waits for it.
func (r *records) request(tenant string, domain event.Domain, id string) bus.PendingRead {
	r.failpoints.Reach(failpoint.ReadRecord)
	return r.events.Request(topology.EventSubject(tenant, domain, id))
}

func (r *records) wait(q bus.PendingRead) (*entry, error) {
	d, found, err := q.Wait()
	r.failpoints.Reach(failpoint.RecordRead)
	if err != nil {
		return nil, fmt.Errorf("an operation's record: %w", err)
	}
	if !found {
		return &noEntry, nil
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

// unpublishable is the error that NATS will never take an event.
type unpublishable struct {
	eventType string
	cause     error
}

func (u *unpublishable) Error() string {
	return u.eventType + " cannot be published, since it is too large or cannot be encoded: a person has to look what the vendor has done"
}
func (u *unpublishable) Unwrap() error { return u.cause }

// notRecorded is the error that an event could not be published: another replica was faster, or
// JetStream stayed away. Nothing was decided; the message must come back.
type notRecorded struct{ cause error }

func (n *notRecorded) Error() string { return "not recorded: " + n.cause.Error() }
func (n *notRecorded) Unwrap() error { return n.cause }

// recordUnreadable is the error that the last event on an operation's subject says nothing of its
// state: another program wrote it, or a later version of this one.
type recordUnreadable struct{ cause error }

func (r *recordUnreadable) Error() string {
	return "the operation's record cannot be read: " + r.cause.Error()
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
		written: e.Time(),
	}
	switch {
	case state == event.StateStarted:
		last.sentAt, last.nextAttempt = last.written, data.LeaseExpiresAt
	case data.Reason == event.WaitBlockedByKey:
		// it is due when those before it are finished
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

// envelopeOf is the envelope that an earlier event of the operation has.
func envelopeOf(e event.Event) envelope {
	v := envelope{tenant: event.Extension(e, event.AttrTenantID), domain: event.DomainOf(e.Type()), operationID: event.Extension(e, event.AttrOperationID), subject: e.Subject()}
	for name := range e.Extensions() {
		v.attributes = append(v.attributes, event.Attribute{Name: name, Value: event.Extension(e, name)})
	}
	return v
}

// attribute gives one by its name; "" if it is absent.
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
	records  *records
	envelope envelope
	command  *event.OperationData // the operation's, of which the time of arrival and the type count
	secrets  secrets
	mu       sync.Mutex // held while an event is published: see publishIfIdle
	sequence uint64     // of the record's last event
}

func (r *records) writer(a *Attempt, last *entry) *writer {
	return &writer{records: r, envelope: a.envelope(), command: &a.Operation, secrets: a.secrets, sequence: last.sequence}
}

// publishTimeout is how long an event is offered to a JetStream that does not answer. The vendor
// may have acted by then: it is better to keep the message than to forget the outcome.
const publishTimeout = 2 * time.Minute

// publish appends one event. It tries again while JetStream is away. An error means that another
// replica was faster, or that publishTimeout has passed: the message must come back and the record
// be read again. An [unpublishable] event alone never gets through.
func (w *writer) publish(ctx context.Context, eventType string, data any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(ctx, eventType, data)
}

// publishIfIdle appends an event beside an attempt that is at work; none if the attempt publishes
// just now, or has published since a sequence.
func (w *writer) publishIfIdle(ctx context.Context, since uint64, eventType string, data any) error {
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
	msg, state, err := w.message(eventType, data)
	if err != nil {
		return &unpublishable{eventType, err}
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	sequence, err := w.records.publish(ctx, msg, w.sequence)
	switch {
	case errors.Is(err, bus.ErrNotLast):
		return fmt.Errorf("%w: %w", errOvertaken, err)
	case isTooLarge(err):
		return &unpublishable{eventType, err}
	case err != nil:
		return err
	}
	w.sequence = sequence
	countOutcome(w.envelope, w.command, state, w.records.now())
	return nil
}

// publish publishes an event under the guard that a record still ends where it was read.
func (r *records) publish(ctx context.Context, msg *nats.Msg, last uint64) (sequence uint64, err error) {
	if !r.failpoints.Disabled(failpoint.Guard) {
		return bus.PublishIfLast(ctx, r.js, msg, last)
	}
	ack, err := r.js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// errOvertaken is the error that another writer has appended to the record since it was read.
var errOvertaken = errors.New("another replica has written first")

// append publishes an event that does not end the attempt, which cannot go on without it.
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

func isTooLarge(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, nats.ErrMaxPayload) || ok && (refused.ErrorCode == messageTooLarge || refused.ErrorCode == headerTooLarge)
}

// message is an event to publish, and the state that it gives the operation; "": it says nothing of
// that.
func (w *writer) message(eventType string, data any) (msg *nats.Msg, state event.State, err error) {
	// Only one event can follow a given one.
	id := w.envelope.operationID + "." + strconv.FormatUint(w.sequence, 10) + "." + eventType[len(event.Prefix):]
	e, err := event.New(id, w.records.source, eventType, w.secrets.scrub(data))
	if err != nil {
		return nil, "", err
	}
	e.SetTime(w.records.now().UTC())
	if w.envelope.subject != "" {
		e.SetSubject(w.envelope.subject)
	}
	event.Extend(&e, w.envelope.attributes...)
	state, ok := event.StateOf(e)
	if ok {
		event.Extend(&e, event.Attribute{Name: event.AttrState, Value: string(state)})
	}
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		return nil, "", err
	}
	return &nats.Msg{Subject: topology.EventSubject(w.envelope.tenant, w.envelope.domain, w.envelope.operationID), Header: header, Data: body}, state, nil
}
