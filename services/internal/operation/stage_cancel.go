package operation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
)

const (
	// cancelTimeout is how long a cancel waits for its operation to come to where it can be
	// cancelled.
	cancelTimeout = 10 * time.Second
	// cancelRetryAfter is how long it waits before it looks again.
	cancelRetryAfter = time.Second
)

// cancel carries out an operation.cancel, and lets every other command pass. A cancel never queues
// behind a key: it is there to free one. If the process dies right after it, the record answers the
// next delivery.
//
// Only an operation that waits can be cancelled, since no call is under way at the vendor then.
func (e *Engine) cancel(ctx context.Context, t *task) (step, error) {
	a := t.attempt
	if a.Command.Type() != event.TypeOperationCancel {
		return step{}, nil
	}
	reply, mayChange, err := e.cancelReply(ctx, a)
	if err != nil {
		return step{}, err
	}
	if mayChange && !a.command.DryRun && e.Now().Sub(a.Operation.ReceivedAt) < cancelTimeout {
		return step{retryInSlot, e.Now().Add(cancelRetryAfter)}, nil
	}
	return step{kind: ended}, a.writer.publish(ctx, reply.Type, reply.Data)
}

// cancelReply carries the cancel out and gives its outcome; mayChange says that the outcome may be
// another one soon.
func (e *Engine) cancelReply(ctx context.Context, a *Attempt) (reply Reply, mayChange bool, err error) {
	if e.hasExpired(a) {
		return e.cancelFailed(a, expiredFailure), false, nil
	}
	var data event.OperationCancelData
	if err := a.Decode(&data); err != nil {
		return Reply{}, false, err
	}
	target, err := e.records.lastOf(a.Tenant, e.cfg.Domain, data.OperationID)
	switch {
	case isRecordUnreadable(err):
		return e.cancelRefused(a, failure.Refused, err.Error()), false, nil
	case err != nil:
		return Reply{}, false, err
	case target.sequence > 0 && !e.mayCancel(a, target):
		return e.cancelRejected(a), false, nil
	case target.cancelledBy(a):
		// a delivery before this one has ended the record; the key is left
	case target.state.Terminal():
		return e.cancelRefused(a, failure.Refused, "the operation has ended already: "+string(target.state)), false, nil
	case target.state == event.StateStarted || target.state == event.StateUnknown:
		return e.cancelRefused(a, failure.Refused, "the operation is under way at the vendor and cannot be taken back"), true, nil
	case target.state != event.StateWaiting:
		return e.cancelRefused(a, failure.NotFound, "no such operation waits in this domain"), true, nil
	case a.command.DryRun:
		change := event.Change{Action: "set", What: "state", Value: string(event.StateCancelled)}
		return planned(a, event.Plan{Target: data.OperationID, Exists: true, Changes: []event.Change{change}}), false, nil
	default:
		if err := e.publishCancelled(ctx, a, target); err != nil {
			return Reply{}, false, err
		}
	}
	if err := e.freeKey(ctx, a.Tenant, data.OperationID, target.operation.Key); err != nil {
		return Reply{}, false, err
	}
	return Reply{event.TypeCancelCompleted, event.CancelCompletedData{Operation: a.Operation, Cancelled: data.OperationID}}, false, nil
}

func (e *Engine) cancelRefused(a *Attempt, kind failure.Kind, text string) Reply {
	return e.cancelFailed(a, event.FailureData{Kind: string(kind), Text: text})
}

func (e *Engine) cancelFailed(a *Attempt, f event.FailureData) Reply {
	return Reply{event.FailedType(e.cfg.Domain), event.FailedData{Operation: a.Operation, Failure: f}}
}

func (e *Engine) cancelRejected(a *Attempt) Reply {
	const problem = "may not cancel this operation: only the source of its command may, or one of the tenant's operators"
	return Reply{event.RejectedType(e.cfg.Domain), event.RejectedData{
		Operation: a.Operation, Faults: []event.Fault{{Field: "source", Problem: problem}},
	}}
}

func isRecordUnreadable(err error) bool {
	_, ok := errors.AsType[*recordUnreadable](err)
	return ok
}

// mayCancel reports whether a cancel reaches an operation. The tenant is the same, since the record
// is read on a subject of the cancel's own tenant.
func (e *Engine) mayCancel(a *Attempt, target *entry) bool {
	source := a.Command.Source()
	owner := source == target.envelope.attribute(event.AttrCommandSource)
	return owner || slices.Contains(e.cfg.Operators[a.Tenant], source) || e.disabled(failpoint.CancelRights)
}

// publishCancelled ends the target's record, unless an attempt was faster.
func (e *Engine) publishCancelled(ctx context.Context, by *Attempt, target *entry) error {
	w := &writer{records: e.records, sequence: target.sequence, envelope: target.envelope, command: &target.operation}
	err := w.publish(ctx, event.CancelledType(e.cfg.Domain), event.CancelledData{
		Operation: target.operation, By: event.CommandRef{Source: by.Command.Source(), ID: by.Command.ID()},
	})
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	return nil
}

// unschedule removes the schedule of a cancelled operation, and before that the secret of its
// command.
func (e *Engine) unschedule(ctx context.Context, tenant, operationID string) error {
	scheduled, found, err := e.parking.scheduled(ctx, topology.Address{Tenant: tenant, Domain: e.cfg.Domain}, operationID)
	if err != nil || !found {
		return err
	}
	if err := e.removeScheduled(ctx, scheduled); err != nil {
		return err
	}
	return e.parking.remove(ctx, scheduled)
}

// freeKey removes the schedule of a cancelled operation, and wakes its key now if that operation is
// the first that waits there. Another one may be under way in a detached call, whose lease is the
// schedule of the key: to wake it now would let a second replica call the vendor.
func (e *Engine) freeKey(ctx context.Context, tenant, operationID, token string) error {
	key := topology.Address{Tenant: tenant, Domain: e.cfg.Domain, Key: token}
	if err := e.unschedule(ctx, tenant, operationID); err != nil {
		return err
	}
	head, parked, err := e.parking.head(ctx, key)
	if err != nil || !parked || head.OperationID != operationID {
		return err
	}
	return e.parking.scheduleWakeUp(ctx, key, time.Time{})
}
