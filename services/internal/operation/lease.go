package operation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// ReadBackID stands in the id of a command that reads a target back, behind the id of the
// operation that may have written too late.
const ReadBackID = ".read-back."

// leased has the vendor's client keep back each request for which the lease is lost.
func (e *Engine) leased(ctx context.Context, run *Attempt) context.Context {
	if e.Failpoints.Disabled(failpoint.Leases) {
		return ctx
	}
	return lease.With(ctx, &run.lease)
}

// performRepeatable performs what may be done twice, while the command is this replica's alone: a
// request that comes after another replica has taken the command over would undo the key's next
// command.
func (e *Engine) performRepeatable(ctx context.Context, h Handler, run *Attempt) (Reply, error) {
	if !e.Failpoints.Disabled(failpoint.Leases) {
		watched, stop := lease.Watch(ctx, &run.lease)
		defer stop()
		ctx = watched
	}
	return h.Perform(ctx, run)
}

// leaseLost reports whether an attempt at what may be repeated failed since its lease was lost,
// before a request to write had left: the command comes back. Where a request had left, its
// answer is lost like any other: the operation is unknown, and is not repeated before that
// request can no longer arrive. A create that was kept back is recorded as one that was certainly
// not carried out.
func (e *Engine) leaseLost(run *Attempt, err error) bool {
	if err == nil || e.Failpoints.Disabled(failpoint.Leases) || !run.performing.Load() || e.Handlers[run.Command.Type()].NotRepeatable {
		return false
	}
	return errors.Is(err, lease.ErrLost) || run.lease.Load().Err() != nil && errors.Is(err, context.Canceled) && !failure.Is(err, failure.Unknown)
}

// readBack has a target read again to which this replica has written although the record then
// went another way: another replica has taken the command over, and may have carried out the
// key's next before this write arrived. The read is a command of its own on the same key, so its
// observation comes after what the key's commands have left, and projection-svc tells a
// difference as drift.
func (e *Engine) readBack(run *Attempt, result Reply, cause error) {
	h := e.Handlers[run.Command.Type()]
	overtaken := errors.Is(cause, errOvertaken) || run.lease.Load().Err() != nil
	if h.ReadBack == nil || h.NotRepeatable || !overtaken || !run.performing.Load() || e.Failpoints.Disabled(failpoint.Leases) {
		return
	}
	msg, err := e.readBackCommand(h, run, result)
	if err != nil {
		e.Log.Error("what a replica that was overtaken has written can not be read back", "operation", run.ID, "error", err)
		return
	}
	e.Log.Warn("another replica has taken over a command that this one has carried out; its target is read back", "operation", run.ID, "key", run.Operation.Key)
	e.behind.Go(func() {
		_, err := backoff.Retry(e.life, func() (*jetstream.PubAck, error) { return e.JS.PublishMsg(e.life, msg) }, backoff.WithMaxElapsedTime(0))
		if err != nil {
			e.Log.Error("that a target is read back could not be published", "operation", run.ID, "error", err)
		}
	})
}

// readBackCommand is due when a write whose answer was lost can no longer arrive.
func (e *Engine) readBackCommand(h Handler, run *Attempt, result Reply) (*nats.Msg, error) {
	eventType, data, err := h.ReadBack(run)
	if err != nil {
		return nil, err
	}
	c, err := event.New(run.ID+ReadBackID+rand.Text(), Source(run.address.Domain), eventType, data)
	if err != nil {
		return nil, err
	}
	attributes := []event.Attribute{
		{Name: event.AttrTenantID, Value: run.Tenant},
		{Name: event.AttrCausationID, Value: run.Command.ID()},
		{Name: event.AttrCorrelationID, Value: event.Extension(run.Command, event.AttrCorrelationID)},
		{Name: event.AttrTraceParent, Value: event.Extension(run.Command, event.AttrTraceParent)},
	}
	if _, lost := result.Data.(event.UnknownData); lost {
		attributes = append(attributes, event.Attribute{Name: event.AttrNotBefore, Value: run.sentAt.Add(e.CallTimeout).UTC().Format(time.RFC3339)})
	}
	event.Extend(&c, attributes...)
	header, body, err := event.Encode(c, event.Binary)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", eventType, err)
	}
	return &nats.Msg{Subject: topology.PublishedSubject(run.address), Header: header, Data: body}, nil
}
