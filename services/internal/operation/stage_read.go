package operation

import (
	"context"
	"fmt"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// read decodes the command; one that no operation can come of ends as a dead letter. If the process
// dies right after it, the message is delivered again.
func (e *Engine) read(ctx context.Context, t *task) (step, error) {
	if t.reference != nil {
		return e.readParked(ctx, t)
	}
	attempt, err := e.decode(t.command)
	if err != nil {
		return step{kind: ended}, e.deadLetter(ctx, unreadable(err), t.command)
	}
	e.begin(t, attempt)
	return step{}, nil
}

// readParked reads the command that a reference in PARKED means, and makes sure that COMMANDS still
// holds that very command under its sequence.
func (e *Engine) readParked(ctx context.Context, t *task) (step, error) {
	ref := *t.reference
	if ref.invalid != nil {
		return step{kind: finished}, e.deadLetter(ctx, deadLetter{reason: Unreadable, detail: "it waits on a key, and is no reference to a command"},
			bus.Delivery{Stream: topology.StreamParked, Sequence: ref.parkedSequence, Subject: topology.ParkedSubject(t.key), Data: ref.invalid})
	}
	if key, ok := e.detached.Load(ref.OperationID); ok && key == t.key {
		return step{kind: underWay}, nil // the end of the call wakes the key
	}
	d, err := e.parking.readCommand(ctx, ref)
	if err != nil {
		return step{}, err
	}
	if d.Sequence == 0 {
		return e.failGone(ctx, t, deadLetter{reason: Expired, detail: "COMMANDS no longer holds the command that waits"})
	}
	attempt, err := e.decode(d)
	if !e.refersTo(t, attempt) {
		return e.failGone(ctx, t, deadLetter{reason: ReferenceMismatch, detail: "COMMANDS holds another command where the one that waits should be: the stream was restored or made again"})
	}
	if err != nil { // it could be read when it was parked
		return e.failGone(ctx, t, unreadable(err))
	}
	t.command = d
	e.begin(t, attempt)
	return step{}, nil
}

// begin fills in what the next stages need of a command that can be read.
func (e *Engine) begin(t *task, attempt *Attempt) {
	e.openSecrets(attempt)
	attempt.keyProblem = keyProblem(attempt)
	e.warnOfKey(attempt)
	attempt.lease.Store(t.lease)
	t.attempt, t.handler = attempt, e.cfg.Handlers[attempt.Command.Type()]
}

// decode reads a command and names its operation. Its error says why no result could be published:
// the command has no usable id or source, or its subject no usable key or tenant. What else is
// wrong with it is found by [Engine.validate], and its publisher is answered.
func (e *Engine) decode(d bus.Delivery) (*Attempt, error) {
	e.cfg.Failpoints.ComputeNumbers(d.Data)
	command, err := event.ReadCommand(d.Header, d.Data)
	if err != nil {
		return nil, err
	}
	address, ok := topology.ParseCommandSubject(d.Subject)
	if !ok {
		return nil, fmt.Errorf("subject %s is not one of a stored command: a key or a tenant that is a wildcard of NATS belongs to no partition", d.Subject)
	}
	if err := address.Check(); err != nil {
		return nil, err
	}
	return &Attempt{
		Command: command.Event,
		Tenant:  address.Tenant,
		ID:      event.OperationOf(address.Tenant, command.Event),
		Operation: event.OperationData{
			CommandType: command.Event.Type(),
			Key:         address.Key,
			ReceivedAt:  d.StoredAt.UTC(),
			Attempt:     1,
			Fingerprint: command.Fingerprint(),
		},
		command:  command,
		address:  address.Waiting(),
		sequence: d.Sequence,
		secrets:  secretsOf(command.Document),
		removal:  removalOf(command),
	}, nil
}

// refersTo reports whether a reference is one to the command that was read at its sequence: to the
// same operation, on the same key. attempt is nil if the command could not be read: then only the
// incarnation tells. A stream that was made again while this process ran may have references of
// either incarnation.
func (e *Engine) refersTo(t *task, attempt *Attempt) bool {
	switch {
	case e.disabled(failpoint.References):
		return true
	case attempt == nil:
		return t.reference.Incarnation == e.parking.incarnation()
	default:
		return attempt.ID == t.reference.OperationID && attempt.address == t.key
	}
}
