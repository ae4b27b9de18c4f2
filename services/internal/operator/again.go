package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

// Original is the command of an operation, as COMMANDS holds it.
type Original struct {
	event.Command
	Address  topology.Address
	Sequence uint64
	StoredAt time.Time
}

// shortLived is when the server deletes the consumer of a short look at a stream.
const shortLived = 5 * time.Second

// FindOriginal reads the command of an operation by the time that its record gives. found is false
// if COMMANDS no longer holds it.
func FindOriginal(ctx context.Context, js jetstream.JetStream, t Target, o event.OperationData) (c Original, found bool, err error) {
	at := o.ReceivedAt
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: topology.KeyFilters(t.Tenant, t.Domain, o.Key),
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy, OptStartTime: &at,
		InactiveThreshold: shortLived,
	}
	for m, err := range streamreader.Messages(ctx, js, topology.StreamCommands, config) {
		if err != nil {
			return c, false, err
		}
		if m.Metadata.Timestamp.After(at) {
			return c, false, nil
		}
		command, err := event.ReadCommand(m.Headers(), m.Data())
		address, ok := topology.ParseCommandSubject(m.Subject())
		if err == nil && ok && event.OperationOf(t.Tenant, command.Event) == t.OperationID {
			return Original{command, address, m.Metadata.Sequence.Stream, m.Metadata.Timestamp.UTC()}, true, nil
		}
	}
	return c, false, nil
}

// PlannedAgain is the new command that takes the place of an operation that ended without success.
type PlannedAgain struct {
	Target
	// Operation is that of the new command.
	Operation string `json:"operation"`
	command   client.Command
}

// Command is the new command, as it would be published: with its secrets in plain.
func (p PlannedAgain) Command() client.Command { return p.command }

// againPrefix begins the ids of commands that are sent again.
const againPrefix = "again."

// AgainID is the id of the command that is sent again in place of an operation. There is one for
// each operation, so that to send it twice does nothing.
func AgainID(operationID string) string { return againPrefix + operationID }

// OperationBehind is the operation that a command of this package is about, by its id: that which
// it is sent again in place of, or cancels; "" for another command.
func OperationBehind(commandID string) string {
	for _, prefix := range []string{againPrefix, cancelPrefix} {
		if rest, ok := strings.CutPrefix(commandID, prefix); ok {
			id, _, _ := strings.Cut(rest, ".")
			if IsWholeID(id) {
				return id
			}
		}
	}
	return ""
}

// PlanAgain makes the command that would be sent again: the original with a new id, on the same
// key, with the outcome as its cause. data takes the place of the original's, unless it is nil. A
// *[RefusedError] says why it cannot be sent.
func PlanAgain(ctx context.Context, js jetstream.JetStream, t Target, data json.RawMessage, by Actor) (PlannedAgain, error) {
	last, err := lastEvent(ctx, js, t)
	if errors.Is(err, ErrNoRecord) {
		return PlannedAgain{}, refuse("no service has begun the operation: it goes on by itself")
	}
	if err != nil {
		return PlannedAgain{}, err
	}
	o, err := mayBeSentAgain(last)
	if err != nil {
		return PlannedAgain{}, err
	}
	original, found, err := FindOriginal(ctx, js, t, o)
	if err != nil {
		return PlannedAgain{}, err
	}
	if !found {
		return PlannedAgain{}, refuse("COMMANDS no longer holds its command: publish it anew")
	}
	c, err := again(original, last, t, data, by)
	if err != nil {
		return PlannedAgain{}, err
	}
	p := PlannedAgain{Target: t, Operation: c.OperationID(), command: c}
	_, err = lastEvent(ctx, js, Target{p.Operation, t.Tenant, t.Domain})
	if err == nil {
		return p, refuse("it was sent again already, as operation %s", p.Operation)
	}
	if !errors.Is(err, ErrNoRecord) {
		return p, err
	}
	return p, nil
}

// mayBeSentAgain reads the operation of an outcome that another command may take the place of.
func mayBeSentAgain(last RecordedEvent) (o event.OperationData, err error) {
	var data struct {
		Operation event.OperationData `json:"operation"`
		Failure   event.FailureData   `json:"failure"`
	}
	if err := last.DataAs(&data); err != nil {
		return o, fmt.Errorf("event %d: %w", last.Sequence, err)
	}
	state, _ := event.StateOf(last.Event)
	switch {
	case state == event.StateSucceeded:
		return o, refuse("the operation has succeeded: there is nothing to send again")
	case !state.Terminal():
		return o, refuse("the operation has no outcome yet, and goes on by itself")
	case data.Failure.Code == operation.OutcomeUnknown:
		return o, refuse("nobody can tell whether it was carried out: look at the vendor, and send a new command if it was not")
	case data.Operation.CommandType == event.TypeOperationCancel:
		return o, refuse("it was a cancel: cancel the operation again if it still waits")
	}
	return data.Operation, nil
}

// again makes the new command.
func again(original Original, last RecordedEvent, t Target, data json.RawMessage, by Actor) (client.Command, error) {
	c := client.Command{Event: original.Event.Clone(), Tenant: t.Tenant, Domain: t.Domain, Sealer: sealed.Sealer{}}
	if data != nil {
		c.DataEncoded, c.DataBase64 = data, false
	}
	for _, text := range event.Read(c.Event).Secrets() {
		if event.IsSealed(text) {
			return c, refuse("its secret is sealed, and bound to the operation that failed: edit it, and enter the secret again")
		}
	}
	if data == nil || c.Key == "" {
		if key, err := event.Untoken(original.Address.Key); err == nil {
			c.Key = key
		}
	}
	c.SetID(AgainID(t.OperationID))
	c.SetSource(by.Source)
	c.SetTime(time.Now().UTC())
	for _, name := range []string{event.AttrNotBefore, event.AttrExpiryTime, event.AttrDryRun} {
		c.SetExtension(name, nil) // they were meant for the first
	}
	c.SetExtension(event.AttrCausationID, last.ID())
	by.sign(&c.Event)
	return c, nil
}

// Again sends a planned command.
func Again(ctx context.Context, js jetstream.JetStream, p PlannedAgain) (client.Receipt, error) {
	return client.Send(ctx, js, p.command)
}

// CommandOf reads the command of an operation that has a record. found is false if COMMANDS no
// longer holds it.
func CommandOf(ctx context.Context, js jetstream.JetStream, t Target) (c Original, found bool, err error) {
	last, err := lastEvent(ctx, js, t)
	if errors.Is(err, ErrNoRecord) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	var data struct {
		Operation event.OperationData `json:"operation"`
	}
	if last.DataAs(&data) != nil {
		return c, false, nil
	}
	return FindOriginal(ctx, js, t, data.Operation)
}
