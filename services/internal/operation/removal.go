package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// A command that may hold a secret leaves COMMANDS as a whole message, which the server overwrites
// in its files, once nothing will be done with it any more: it has its outcome, or its dead letter
// says that it cannot be carried out. What refers to it reads its record in EVENTS instead.
//
// Whoever ends a command removes it before the message is acknowledged, and after its reference in
// PARKED. A process that dies before is followed by another delivery, which finds the outcome and
// removes the command. What fails all the same is left to the recheck, which also waits for
// SecretAge.

// removalTimeout bounds the wait for JetStream: the next command of the key waits meanwhile.
const removalTimeout = 5 * time.Second

// removal is what a command's schema says about whether it is to be removed.
type removal struct {
	// hasSecrets says that the command as published has secrets, and invalid that it does not fit
	// its schema, so that nobody knows.
	hasSecrets, invalid bool
}

func removalOf(c event.Command) removal { return removal{len(c.Secrets()) > 0, len(c.Check()) > 0} }

// removeSecret removes a task's command that may hold a secret, unless SecretAge keeps it. An error
// is not the command's: the recheck tries again.
func (e *Engine) removeSecret(ctx context.Context, t *task) {
	if t.wasSetAside && (t.attempt == nil || t.last.conflicts(t.attempt)) {
		return // its overflow still refers to it, and no outcome says why it is gone: the recheck does it
	}
	// To JetStream the removal of a delivered message is an acknowledgement. Without the lease it
	// would let the next owner of the partition believe that it has all messages: see package bus.
	if delivered := t.reference == nil && !t.wasSetAside; delivered && t.lease != nil {
		if t.lease.Err() != nil {
			return // the other delivery removes it, or the recheck
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.lease.Left())
		defer cancel()
	}
	if err := e.removeNow(ctx, t.attempt, t.command); err != nil {
		e.log(t.attempt).Warn("a command that may hold a secret is still in COMMANDS; the recheck tries again",
			"sequence", t.command.Sequence, "error", err)
	}
}

// removeNow removes a command that may hold a secret, unless SecretAge keeps it.
func (e *Engine) removeNow(ctx context.Context, attempt *Attempt, d bus.Delivery) error {
	if e.cfg.SecretAge > 0 || d.Sequence == 0 || !e.mayHoldSecret(attempt, d) {
		return nil
	}
	return e.erase(ctx, d.Sequence)
}

// removeScheduled is removeNow of a command that was cancelled before it was due. Nothing brings it
// back to the pipeline.
func (e *Engine) removeScheduled(ctx context.Context, ref parkedCommand) error {
	if ref.Sequence == 0 {
		return nil // the schedule is not one of ours
	}
	d, err := e.parking.readCommand(ctx, ref)
	if err != nil || d.Sequence == 0 {
		return err
	}
	attempt, err := e.decode(d)
	if err != nil || attempt.ID != ref.OperationID {
		return nil // COMMANDS was restored, and has another one there
	}
	if acked, err := (rechecker{e}).isAcked(ctx, d); err != nil || !acked {
		return err // the recheck removes it
	}
	return e.removeNow(ctx, attempt, d)
}

// mayHoldSecret reports whether a command may hold a secret: by the schema of its type, or by the
// name of a header, a member or a directory property. Where commands of the domain have secrets, it
// is also true of what does not fit its schema, since nobody knows where the secrets of that are.
// attempt is nil if the command cannot be read.
func (e *Engine) mayHoldSecret(attempt *Attempt, d bus.Delivery) bool {
	if e.disabled(failpoint.SecretRemoval) {
		return false
	}
	if e.secretsExpected && (attempt == nil || attempt.removal.invalid) {
		return true
	}
	return attempt != nil && attempt.removal.hasSecrets || event.HoldsSecret(d.Header, d.Data)
}

// erase removes the message with a sequence from COMMANDS.
func (e *Engine) erase(ctx context.Context, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, removalTimeout)
	defer cancel()
	e.reach(failpoint.RemoveSecret)
	if err := bus.EraseMessage(ctx, e.parking.commands, sequence); err != nil {
		return fmt.Errorf("remove message %d from COMMANDS: %w", sequence, err)
	}
	e.reach(failpoint.RemovedSecret)
	return nil
}

// removeSecret removes a command with which nothing will be done any more since a time, if it may
// hold a secret. One whose SecretAge has not passed is delivered again when it has, and so is one
// that its partition still delivers: the bus counts what the server has not been told of.
func (r rechecker) removeSecret(ctx context.Context, attempt *Attempt, d bus.Delivery, since time.Time) error {
	e := r.engine
	if !e.mayHoldSecret(attempt, d) {
		return nil
	}
	if left := since.Add(e.cfg.SecretAge).Sub(e.Now()); left > 0 {
		return &redeliverAfter{left}
	}
	if _, ok := topology.ParseCommandSubject(d.Subject); ok {
		acked, err := r.isAcked(ctx, d)
		if err != nil {
			return err
		}
		if !acked {
			return &redeliverAfter{e.cfg.RecheckAfter}
		}
	}
	return e.erase(ctx, d.Sequence)
}
