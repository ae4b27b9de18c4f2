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

// cancelPatience is how long a cancel waits for its operation to come to where it can be cancelled.
const cancelPatience = 10 * time.Second

// cancel carries out an operation.cancel. It never lines up behind a key: it is there to free one.
// Only an operation that waits can be cancelled, since nothing is under way at the vendor then.
func (e *Engine) cancel(ctx context.Context, run *Attempt, last *entry) error {
	run.Operation.Attempt = last.attempt + 1
	w := e.record.writer(run, last)
	result, again, err := e.cancelled(ctx, run)
	if err != nil {
		return err
	}
	if again && !run.command.DryRun && e.Now().Sub(run.Operation.ReceivedAt) < cancelPatience {
		return &later{after: time.Second}
	}
	return w.publish(ctx, result.Type, result.Data)
}

// cancelled gives the outcome of a cancel; again where it may be another one soon.
func (e *Engine) cancelled(ctx context.Context, run *Attempt) (result Reply, again bool, err error) {
	fail := func(kind failure.Kind, text string) Reply {
		return Reply{event.FailedType(e.Domain), event.FailedData{Operation: run.Operation, Failure: event.FailureData{Kind: string(kind), Text: text}}}
	}
	if e.hasExpired(run) {
		return Reply{event.FailedType(e.Domain), event.FailedData{Operation: run.Operation, Failure: tooLate}}, false, nil
	}
	var data event.OperationCancelData
	if err := run.Decode(&data); err != nil {
		return Reply{}, false, err
	}
	target, err := e.record.lastOf(run.Tenant, e.Domain, data.OperationID)
	switch {
	case isRecordUnreadable(err):
		return fail(failure.Refused, err.Error()), false, nil
	case err != nil:
		return Reply{}, false, err
	case target.sequence > 0 && !e.mayCancel(run, target):
		return Reply{event.RejectedType(e.Domain), event.RejectedData{Operation: run.Operation, Faults: []event.Fault{{
			Field: "source", Problem: "may not cancel this operation: only the source of its command may, or one of the tenant's operators",
		}}}}, false, nil
	case target.cancelledBy(run):
		// A delivery before this one got so far.
	case target.state.Terminal():
		return fail(failure.Refused, "the operation has ended already: "+string(target.state)), false, nil
	case target.state == event.StateStarted || target.state == event.StateUnknown:
		return fail(failure.Refused, "the operation is under way at the vendor and can not be taken back"), true, nil
	case target.state != event.StateWaiting:
		return fail(failure.NotFound, "no such operation waits in this domain"), true, nil
	case run.command.DryRun:
		return planned(run, event.Plan{Target: data.OperationID, Exists: true, Changes: []event.Change{{Action: "set", What: "state", Value: string(event.StateCancelled)}}}), false, nil
	default:
		if err := e.writeCancelled(ctx, run, target); err != nil {
			return Reply{}, false, err
		}
	}
	if err := e.parking.unschedule(ctx, topology.Address{Tenant: run.Tenant, Domain: e.Domain}, data.OperationID); err != nil {
		return Reply{}, false, err
	}
	if err := e.wakeKey(ctx, topology.Address{Tenant: run.Tenant, Domain: e.Domain, Key: target.operation.Key}); err != nil {
		return Reply{}, false, err
	}
	return Reply{event.TypeCancelCompleted, event.CancelCompletedData{Operation: run.Operation, Cancelled: data.OperationID}}, false, nil
}

func isRecordUnreadable(err error) bool {
	_, ok := errors.AsType[*recordUnreadable](err)
	return ok
}

// mayCancel reports whether a cancel reaches an operation. The tenant is the same, since the record
// is read on a subject of the cancel's own tenant.
func (e *Engine) mayCancel(run *Attempt, target *entry) bool {
	source := run.Command.Source()
	return source == target.envelope.attribute(event.AttrCommandSource) || slices.Contains(e.Operators[run.Tenant], source) || e.Failpoints.Disabled(failpoint.CancelRights)
}

// writeCancelled ends the target's record, unless an attempt was faster.
func (e *Engine) writeCancelled(ctx context.Context, by *Attempt, target *entry) error {
	w := &writer{record: e.record, sequence: target.sequence, envelope: target.envelope}
	err := w.publish(ctx, event.CancelledType(e.Domain), event.CancelledData{
		Operation: target.operation, By: event.CommandRef{Source: by.Command.Source(), ID: by.Command.ID()},
	})
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	return nil
}

// wakeKey wakes a key now, if anything waits on it.
func (e *Engine) wakeKey(ctx context.Context, key topology.Address) error {
	head, parked, err := e.parking.head(ctx, key)
	if err != nil || !parked {
		return err
	}
	key.Partition = head.Partition
	return e.parking.wake(ctx, key, time.Time{})
}
