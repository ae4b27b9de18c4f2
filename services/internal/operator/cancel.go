package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// Actor is who acts: the source of the commands that an action publishes, and the person who is
// behind them.
type Actor struct{ Source, Person string }

// sign has a command say who is behind it.
func (a Actor) sign(e *event.Event) {
	if a.Person != "" {
		event.Extend(e, event.Attribute{Name: event.AttrAuthType, Value: event.AuthTypeUser}, event.Attribute{Name: event.AttrAuthID, Value: a.Person})
	}
}

// cancelPrefix begins the ids of cancels.
const cancelPrefix = "cancel."

// Cancel publishes the command that cancels an operation. Its id holds the sequence of the record's
// last event: a repetition is the same command, until something has happened to the operation.
func Cancel(ctx context.Context, js jetstream.JetStream, t Target, by Actor) (client.Receipt, error) {
	last, err := lastEvent(ctx, js, t)
	if err != nil && !errors.Is(err, ErrNoRecord) {
		return client.Receipt{}, err
	}
	id := fmt.Sprintf("%s%s.%d", cancelPrefix, t.OperationID, last.Sequence)
	e, err := event.New(id, by.Source, event.TypeOperationCancel, event.OperationCancelData{OperationID: t.OperationID})
	if err != nil {
		return client.Receipt{}, err
	}
	e.SetTime(time.Now().UTC())
	e.SetSubject(by.Person)
	by.sign(&e)
	return client.Send(ctx, js, client.Command{Event: e, Tenant: t.Tenant, Domain: t.Domain})
}

// ErrNoRecord says that nothing has been recorded of an operation.
var ErrNoRecord = errors.New("nothing is recorded of an operation")

// RecordedEvent is an event of an operation's record, with its place in EVENTS.
type RecordedEvent struct {
	event.Event
	Sequence uint64
	StoredAt time.Time
}

// lastEvent reads where an operation's record ends. [ErrNoRecord] is in the error if it is empty.
func lastEvent(ctx context.Context, js jetstream.JetStream, t Target) (RecordedEvent, error) {
	events, err := stream(ctx, js, topology.StreamEvents)
	if err != nil {
		return RecordedEvent{}, err
	}
	m, err := events.GetLastMsgForSubject(ctx, topology.EventSubject(t.Tenant, t.Domain, t.OperationID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return RecordedEvent{}, fmt.Errorf("%w %s", ErrNoRecord, t.OperationID)
	}
	if err != nil {
		return RecordedEvent{}, fmt.Errorf("read the record of operation %s: %w", t.OperationID, err)
	}
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		return RecordedEvent{}, fmt.Errorf("the record of operation %s ends with what is no event: %w", t.OperationID, err)
	}
	return RecordedEvent{e, m.Sequence, m.Time}, nil
}

// stream opens a stream. [client.ErrNoStreams] is in the error if there is none.
func stream(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	s, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = client.ErrNoStreams
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return s, nil
}

// CheckCancel says why a cancel cannot help, by a *[RefusedError]. Whether its source may cancel
// the operation is for the service to say.
func CheckCancel(ctx context.Context, js jetstream.JetStream, t Target) error {
	last, err := lastEvent(ctx, js, t)
	if errors.Is(err, ErrNoRecord) {
		return refuse("no service has begun the operation, so that it cannot be cancelled yet")
	}
	if err != nil {
		return err
	}
	switch state, _ := event.StateOf(last.Event); {
	case state.Terminal():
		return refuse("the operation has ended already: %s", state)
	case state == event.StateUnknown:
		return refuse("the vendor may have carried it out: it cannot be taken back while that is read")
	default:
		return nil
	}
}
