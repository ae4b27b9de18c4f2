package operation

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// perform has the handler call the vendor. If the process dies right after it, the record says that
// the call was announced, or the message is delivered again: see announce.
func (e *Engine) perform(ctx context.Context, t *task) (_ step, err error) {
	if err := needSecrets(t.attempt); err != nil {
		return step{}, err
	}
	if !t.handler.NotRepeatable {
		t.attempt.Prior = nil // whether it took effect matters no longer: it is repeated
	}
	t.sentAt = e.Now()
	e.reach(failpoint.Perform)
	t.attempt.performing.Store(true)
	if t.handler.NotRepeatable {
		t.reply, err = e.performOnce(ctx, t)
	} else {
		t.reply, err = e.performRepeatable(ctx, t)
	}
	e.reach(failpoint.Performed)
	return step{kind: toRecord}, err
}

// performOnce performs what must not be done twice. If the handler breaks down, by a panic or by an
// error of which no client has said what it means, the call may have been made all the same: then
// its answer is lost.
func (e *Engine) performOnce(ctx context.Context, t *task) (reply Reply, err error) {
	ctx, cancel := context.WithTimeout(e.withLease(ctx, t.attempt), e.cfg.CallTimeout)
	defer cancel()
	defer func() {
		if isBreakdown(err) {
			e.log(t.attempt).Error("a handler broke down while its vendor was called",
				"error", t.attempt.secrets.text(err.Error()))
			const text = "an internal error while the vendor was called; the service's log has the details"
			err = &failure.Error{Kind: failure.Unknown, Vendor: t.handler.Vendor, Text: text, Cause: err}
		}
	}()
	defer e.recoverPanic(t, &err)
	return t.handler.Perform(ctx, t.attempt)
}

// performRepeatable performs what may be done twice, while the command is this replica's alone: a
// request that comes after another replica has taken the command over would undo the key's next
// command.
func (e *Engine) performRepeatable(ctx context.Context, t *task) (Reply, error) {
	if !e.disabled(failpoint.Leases) {
		watched, stop := lease.Watch(ctx, &t.attempt.lease)
		defer stop()
		ctx = watched
	}
	return t.handler.Perform(ctx, t.attempt)
}

// recoverPanic is deferred, and turns a panic into an error: a fault of ours in one command must
// not end the process. The panic's value and its stack go to the log, without the command's
// secrets.
func (e *Engine) recoverPanic(t *task, err *error) {
	p := recover()
	if p == nil {
		return
	}
	value, stack := t.attempt.secrets.text(fmt.Sprint(p)), t.attempt.secrets.text(string(debug.Stack()))
	*err = fmt.Errorf("handler of %s panicked: %s", t.attempt.Command.Type(), value)
	e.log(t.attempt).Error("a handler panicked", "type", t.attempt.Command.Type(), "panic", value, "stack", stack)
}

// isBreakdown reports whether an error is none that a handler returns on purpose.
func isBreakdown(err error) bool {
	_, failed := errors.AsType[*failure.Error](err)
	_, rejected := errors.AsType[*Rejection](err)
	_, undecided := errors.AsType[*notRecorded](err)
	_, large := errors.AsType[*unpublishable](err)
	return err != nil && !failed && !rejected && !undecided && !large
}
