package operation

import (
	"context"
	"errors"

	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// lookUp asks the vendor whether this very operation has taken effect already, before a call that
// is not repeatable. If the process dies right after it, the message is delivered again.
func (e *Engine) lookUp(ctx context.Context, t *task) (step, error) {
	if !t.handler.NotRepeatable || e.disabled(failpoint.LookUpFirst) {
		return step{}, nil
	}
	var found bool
	err := ErrCannotLookUp
	if t.handler.LookUp != nil {
		e.reach(failpoint.LookUp)
		t.reply, found, err = t.handler.LookUp(ctx, t.attempt)
		e.reach(failpoint.LookedUp)
	}
	if err = e.lookUpError(t, found, err); err != nil {
		return step{}, err
	}
	if found {
		return step{kind: toRecord}, nil
	}
	return step{}, nil
}

// lookUpError says why the call must not be made after a look-up; nil: it may. Only a call that is
// in doubt depends on what the look-up could see.
func (e *Engine) lookUpError(t *task, found bool, err error) error {
	prior := t.attempt.Prior
	switch {
	case prior == nil && errors.Is(err, ErrCannotLookUp):
		return nil
	case prior == nil:
		return err
	case err != nil && e.isFinal(err):
		e.log(t.attempt).Warn("the vendor refuses the look-up", "error", t.attempt.secrets.text(err.Error()))
		return &outcomeUnknown{prior.HeldForApproval}
	case err != nil, found:
		return err
	case prior.HeldForApproval:
		return &failure.Error{Kind: failure.Suspended, Vendor: t.handler.Vendor, Text: "the vendor holds the operation for approval; it is looked for again"}
	case e.mayStillArrive(prior):
		return &failure.Error{Kind: failure.Unknown, Vendor: prior.Failure.Vendor, Text: "the vendor did not say whether it acted, and the effect is not to be seen yet; it is looked for again"}
	default:
		return nil
	}
}

// isFinal reports whether an error cannot pass.
func (e *Engine) isFinal(err error) bool {
	_, rejected := errors.AsType[*Rejection](err)
	_, mayPass := e.cfg.Retries[failure.Of(err).Kind]
	return rejected || !mayPass || errors.Is(err, ErrCannotLookUp)
}

// mayStillArrive reports whether a prior call may take effect yet: a vendor may still be at work on
// a call that we have given up. It counts as not carried out only when its effect has not shown for
// twice the time that a call may take.
func (e *Engine) mayStillArrive(prior *PriorCall) bool {
	return e.Now().Before(prior.SentAt.Add(2 * e.cfg.CallTimeout))
}

// outcomeUnknown is the error that nobody can tell by reading back whether a prior call took
// effect.
type outcomeUnknown struct{ heldForApproval bool }

func (u *outcomeUnknown) Error() string {
	what := "the vendor's answer was lost"
	if u.heldForApproval {
		what = "the vendor held the operation for approval"
	}
	return what + ", and the vendor cannot be read: a person has to look whether it was carried out"
}
