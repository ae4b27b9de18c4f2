package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// RefusedError says why an action cannot help an operation, and what would. Nothing was done.
type RefusedError struct{ Reason string }

// Error implements error.
func (e *RefusedError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// PlannedRetry is a wait that a person may end.
type PlannedRetry struct {
	Target
	// Attempt is the number of the attempt that would be made at once.
	Attempt int `json:"attempt"`
	// Sequence is that of the waiting event in EVENTS.
	Sequence uint64 `json:"sequence"`
	key      topology.Address
}

// PlanRetry says whether the wait of an operation can be ended. A *[RefusedError] says why not.
func PlanRetry(ctx context.Context, js jetstream.JetStream, t Target) (PlannedRetry, error) {
	last, err := lastEvent(ctx, js, t)
	if errors.Is(err, ErrNoRecord) {
		return PlannedRetry{}, refuse("no service has begun the operation, so there is no wait to end")
	}
	if err != nil {
		return PlannedRetry{}, err
	}
	data, err := waitOf(last)
	if err != nil {
		return PlannedRetry{}, err
	}
	head, parked, err := headOf(ctx, js, topology.Address{Tenant: t.Tenant, Domain: t.Domain, Key: data.Operation.Key})
	switch {
	case err != nil:
		return PlannedRetry{}, err
	case !parked:
		return PlannedRetry{}, refuse("it is not parked: its next attempt begins within moments")
	case head.OperationID != t.OperationID:
		return PlannedRetry{}, refuse("it waits behind operation %s, which is the first of its key: retry that one", head.OperationID)
	}
	key := topology.Address{Tenant: t.Tenant, Domain: t.Domain, Partition: head.Partition, Key: data.Operation.Key}
	return PlannedRetry{Target: t, Attempt: data.Operation.Attempt + 1, Sequence: last.Sequence, key: key}, nil
}

// waitOf reads the wait of a record that ends with one that a person may end.
func waitOf(last RecordedEvent) (data event.WaitingData, err error) {
	state, _ := event.StateOf(last.Event)
	switch {
	case state.Terminal():
		return data, refuse("the operation has ended already: %s", state)
	case state == event.StateStarted:
		return data, refuse("the vendor is being called just now")
	case state == event.StateUnknown:
		return data, refuse("a call was sent and its answer was lost: it is read back by itself once the call can no longer arrive")
	case state != event.StateWaiting:
		return data, refuse("the operation does not wait")
	}
	if err := last.DataAs(&data); err != nil {
		return data, fmt.Errorf("event %d: %w", last.Sequence, err)
	}
	if data.Reason == event.WaitScheduled {
		return data, refuse("its publisher asked for a time with notbefore: cancel it, and send the command again without")
	}
	return data, nil
}

// Retry ends a wait: the operation is tried at once. A repetition makes no second attempt, since
// the wake-up names the wait that it ends.
func Retry(ctx context.Context, js jetstream.Publisher, p PlannedRetry) error {
	m := &nats.Msg{Subject: topology.WakeSubject(p.key), Header: nats.Header{operation.RetryHeader: {strconv.FormatUint(p.Sequence, 10)}}}
	if _, err := js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("retry operation %s: %w", p.OperationID, err)
	}
	return nil
}

// Reference is what PARKED holds of a command that waits on its key.
type Reference struct {
	OperationID string `json:"operationId"`
	Partition   int    `json:"partition"`
	// Sequence of the command in COMMANDS.
	Sequence uint64 `json:"sequence"`
}

// headOf reads the first that waits on a key.
func headOf(ctx context.Context, js jetstream.JetStream, key topology.Address) (head Reference, parked bool, err error) {
	s, err := stream(ctx, js, topology.StreamParked)
	if err != nil {
		return head, false, err
	}
	m, err := s.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(topology.ParkedSubject(key)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return head, false, nil
	}
	if err != nil {
		return head, false, fmt.Errorf("read what waits on key %s: %w", key.Key, err)
	}
	if err := json.Unmarshal(m.Data, &head); err != nil {
		return head, false, refuse("message %d of PARKED is no reference to a command", m.Sequence)
	}
	return head, true, nil
}
