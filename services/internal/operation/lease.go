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
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// ReadBackID stands in the id of a command that reads a target back, behind the id of the
// operation that may have written too late.
const ReadBackID = ".read-back."

// withLease has the vendor's client keep back each request for which the lease is lost.
func (e *Engine) withLease(ctx context.Context, a *Attempt) context.Context {
	if e.disabled(failpoint.Leases) {
		return ctx
	}
	return lease.With(ctx, &a.lease)
}

// leaseLost reports whether an attempt at what may be repeated failed because its lease was lost,
// before a request to write had left: the command comes back. If a request had left, its answer is
// lost like any other: the operation is unknown, and is not repeated before that request can no
// longer arrive. A create that was kept back is recorded as one that was certainly not carried out.
func (e *Engine) leaseLost(t *task) bool {
	a, err := t.attempt, t.failure
	if err == nil || e.disabled(failpoint.Leases) || !a.performing.Load() || t.handler.NotRepeatable {
		return false
	}
	brokenOff := a.lease.Load().Err() != nil && errors.Is(err, context.Canceled) && !failure.Is(err, failure.Unknown)
	return errors.Is(err, lease.ErrLost) || brokenOff
}

// readBack has a target read again to which this replica has written although the record then
// went another way: another replica has taken the command over, and may have carried out the
// key's next before this write arrived. The read is a command of its own on the same key, so its
// observation comes after what the key's commands have left, and projection-svc publishes a
// difference as drift.
func (e *Engine) readBack(ctx context.Context, t *task, reply Reply, cause error) {
	a, h := t.attempt, t.handler
	overtaken := errors.Is(cause, errOvertaken) || a.lease.Load().Err() != nil
	if h.ReadBack == nil || h.NotRepeatable || !overtaken || !a.performing.Load() || e.disabled(failpoint.Leases) {
		return
	}
	msg, err := e.readBackCommand(t, reply)
	if err != nil {
		e.log(a).Error("what a replica that was overtaken has written cannot be read back", "error", err)
		return
	}
	e.log(a).Warn("another replica has taken over a command that this one has carried out; its target is read back")
	e.background.Go(func() {
		_, err := backoff.Retry(ctx, func() (*jetstream.PubAck, error) {
			ack, err := e.cfg.JS.PublishMsg(ctx, msg)
			if err != nil && !bus.IsUnavailable(err) {
				err = backoff.Permanent(err) // it would be refused again
			}
			return ack, err
		}, backoff.WithMaxElapsedTime(0))
		if err != nil {
			e.log(a).Error("that a target is read back could not be published", "error", err)
		}
	})
}

// readBackCommand is due when a write whose answer was lost can no longer arrive.
func (e *Engine) readBackCommand(t *task, reply Reply) (*nats.Msg, error) {
	a := t.attempt
	eventType, data, err := t.handler.ReadBack(a)
	if err != nil {
		return nil, err
	}
	c, err := event.New(a.ID+ReadBackID+rand.Text(), Source(a.address.Domain), eventType, data)
	if err != nil {
		return nil, err
	}
	attributes := []event.Attribute{
		{Name: event.AttrTenantID, Value: a.Tenant},
		{Name: event.AttrCausationID, Value: a.Command.ID()},
		{Name: event.AttrCorrelationID, Value: event.Extension(a.Command, event.AttrCorrelationID)},
		{Name: event.AttrTraceParent, Value: event.Extension(a.Command, event.AttrTraceParent)},
	}
	if _, lost := reply.Data.(event.UnknownData); lost {
		attributes = append(attributes, event.Attribute{Name: event.AttrNotBefore, Value: t.sentAt.Add(e.cfg.CallTimeout).UTC().Format(time.RFC3339)})
	}
	event.Extend(&c, attributes...)
	header, body, err := event.Encode(c, event.Binary)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", eventType, err)
	}
	return &nats.Msg{Subject: topology.PublishedSubject(a.address), Header: header, Data: body}, nil
}
