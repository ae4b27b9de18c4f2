package deadletters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

// Stream reads the stream DEAD and the original messages of its dead letters.
type Stream struct {
	js   jetstream.JetStream
	dead jetstream.Stream
}

// Open opens the stream DEAD. [client.ErrNoStreams] is in the error if there is none.
func Open(ctx context.Context, js jetstream.JetStream) (*Stream, error) {
	stream, err := js.Stream(ctx, topology.StreamDead)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = client.ErrNoStreams
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", topology.StreamDead, err)
	}
	return &Stream{js, stream}, nil
}

// JS is what the stream is read by.
func (d *Stream) JS() jetstream.JetStream { return d.js }

// Letters yields the present dead letters, the oldest first.
func (d *Stream) Letters(ctx context.Context) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		for m, err := range streamreader.Messages(ctx, d.js, topology.StreamDead, jetstream.OrderedConsumerConfig{}) {
			if err != nil {
				yield(Letter{}, err)
				return
			}
			l, err := d.complete(ctx, read(m.Metadata.Sequence.Stream, m.Metadata.Timestamp, m.Subject(), m.Data()))
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// Letter reads one dead letter; found is false if there is none.
func (d *Stream) Letter(ctx context.Context, sequence uint64) (l Letter, found bool, err error) {
	m, err := d.dead.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, false, nil
	}
	if err != nil {
		return Letter{}, false, fmt.Errorf("read dead letter %d: %w", sequence, err)
	}
	l, err = d.complete(ctx, read(m.Sequence, m.Time, m.Subject, m.Data))
	return l, true, err
}

// complete adds the facts of the original message to an advisory of JetStream, which has none.
func (d *Stream) complete(ctx context.Context, l Letter) (Letter, error) {
	if l.Content.Subject != "" || l.Content.Sequence == 0 {
		return l, nil
	}
	m, err := d.Original(ctx, l)
	if err != nil || m == nil {
		return l, err
	}
	address, ok := topology.ParseCommandSubject(m.Subject)
	if !ok {
		l.Content.Subject = m.Subject
		l.Content.Size = cmp.Or(l.Content.Size, len(m.Data))
		return l, nil
	}
	l.Domain = cmp.Or(l.Domain, address.Domain)
	found := identify(m, address)
	content := &l.Content
	content.Subject = topology.PublishedSubject(address)
	content.Tenant = cmp.Or(content.Tenant, address.Tenant)
	content.Size = cmp.Or(content.Size, len(m.Data))
	content.Source = cmp.Or(content.Source, found.source)
	content.ID = cmp.Or(content.ID, found.id)
	content.Type = cmp.Or(content.Type, found.eventType)
	content.OperationID = cmp.Or(content.OperationID, found.operation)
	content.CorrelationID = cmp.Or(content.CorrelationID, found.correlation)
	content.TraceParent = cmp.Or(content.TraceParent, found.trace)
	return l, nil
}

// identity names a stored command, as far as it can be read.
type identity struct {
	source, id, eventType, operation, correlation, trace string
	// unreadable is the reason why no service could answer the command; nil if one could.
	unreadable error
}

func identify(m *jetstream.RawStreamMsg, address topology.Address) identity {
	command, err := event.ReadCommand(m.Header, m.Data)
	if u, ok := errors.AsType[*event.UnreadableError](err); ok {
		return identity{source: u.Source, id: u.ID, eventType: u.Type, unreadable: u}
	}
	e := command.Event
	return identity{
		source: e.Source(), id: e.ID(), eventType: e.Type(), operation: event.OperationOf(address.Tenant, e),
		correlation: event.Extension(e, event.AttrCorrelationID), trace: event.Extension(e, event.AttrTraceParent),
	}
}

// Original reads the message that a dead letter refers to; nil if its stream no longer has it.
func (d *Stream) Original(ctx context.Context, l Letter) (*jetstream.RawStreamMsg, error) {
	if l.Content.Sequence == 0 {
		return nil, nil
	}
	stream, err := d.js.Stream(ctx, l.Content.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrInvalidStreamName) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of %s: %w", l.Content.Sequence, render.OneLine(l.Content.Stream), err)
	}
	delivery, found, err := bus.Read(ctx, d.js, stream, l.Content.Sequence)
	if err != nil || !found {
		return nil, err
	}
	return &jetstream.RawStreamMsg{
		Subject:  delivery.Subject,
		Sequence: delivery.Sequence,
		Header:   delivery.Header,
		Data:     delivery.Data,
		Time:     delivery.StoredAt,
	}, nil
}

// errUnreadableRecord says that the state of an operation cannot be read, not even by a service.
var errUnreadableRecord = errors.New("the record of its operation cannot be read")

// Outcome reads the state of an operation's outcome; "" if it has none. The error wraps
// errUnreadableRecord if the last message of the record is no event of ours.
func (d *Stream) Outcome(ctx context.Context, tenant string, domain event.Domain, operationID string) (event.State, error) {
	if operationID == "" {
		return "", nil
	}
	events, err := d.js.Stream(ctx, topology.StreamEvents)
	if err != nil {
		return "", fmt.Errorf("stream %s: %w", topology.StreamEvents, err)
	}
	m, err := events.GetLastMsgForSubject(ctx, topology.EventSubject(tenant, domain, operationID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the record of operation %s: %w", operationID, err)
	}
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		return "", fmt.Errorf("%w: message %d of %s: %w", errUnreadableRecord, m.Sequence, topology.StreamEvents, err)
	}
	state, _ := event.StateOf(e)
	if !state.Terminal() {
		return "", nil
	}
	return state, nil
}

// Discard deletes a dead letter, and before that a command with a secret that was kept for a
// replay.
func (d *Stream) Discard(ctx context.Context, l Letter) error {
	if err := d.eraseSecret(ctx, l); err != nil {
		return err
	}
	if err := bus.DeleteMessage(ctx, d.dead, l.Sequence); err != nil {
		return fmt.Errorf("take dead letter %d out of %s: %w", l.Sequence, topology.StreamDead, err)
	}
	return nil
}
