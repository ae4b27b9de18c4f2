package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/render"
)

// box is the stream DEAD, and where its letters' originals are.
type box struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	dead jetstream.Stream
}

func open(ctx context.Context, a *app.App) (*box, error) {
	soon, cancel := context.WithTimeoutCause(ctx, app.Patience, fmt.Errorf("given up after %v", app.Patience))
	defer cancel()
	nc, js, err := a.Connect(soon)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(soon, topology.StreamDead)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = client.ErrNoStreams
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("stream %s: %w", topology.StreamDead, err)
	}
	return &box{nc, js, stream}, nil
}

func (b *box) close() { b.nc.Close() }

const (
	batch = 500
	// idleConsumer is how long the server keeps a consumer of ours that nobody asks any more.
	idleConsumer = time.Minute
)

// letters gives what stands in DEAD now, the oldest first.
func (b *box) letters(ctx context.Context) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		consumer, err := b.dead.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: idleConsumer, MemoryStorage: true})
		if err != nil {
			yield(Letter{}, fmt.Errorf("read %s: %w", topology.StreamDead, err))
			return
		}
		for seen := uint64(0); ; {
			info, err := consumer.Info(ctx)
			if err != nil {
				yield(Letter{}, fmt.Errorf("read %s: %w", topology.StreamDead, err))
				return
			}
			if info.NumPending == 0 && info.Delivered.Consumer == seen {
				return
			}
			messages, err := consumer.FetchNoWait(batch)
			if err != nil {
				yield(Letter{}, fmt.Errorf("read %s: %w", topology.StreamDead, err))
				return
			}
			for m := range messages.Messages() {
				l, err := b.received(ctx, m, seen)
				if seen++; !yield(l, err) || err != nil {
					return
				}
			}
		}
	}
}

// received reads a letter that a consumer sent; it must be the one after those that were seen.
func (b *box) received(ctx context.Context, m jetstream.Msg, seen uint64) (Letter, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Letter{}, err
	}
	if meta.Sequence.Consumer != seen+1 {
		return Letter{}, fmt.Errorf("the connection was lost while %s was read; try again", topology.StreamDead)
	}
	return b.complete(ctx, read(meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Data()))
}

// letter reads one; found is false where it is not there.
func (b *box) letter(ctx context.Context, sequence uint64) (l Letter, found bool, err error) {
	m, err := b.dead.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, false, nil
	}
	if err != nil {
		return Letter{}, false, fmt.Errorf("read dead letter %d: %w", sequence, err)
	}
	l, err = b.complete(ctx, read(m.Sequence, m.Time, m.Subject, m.Data))
	return l, true, err
}

// complete fills in what only the original of an advisory tells.
func (b *box) complete(ctx context.Context, l Letter) (Letter, error) {
	if l.Letter.Subject != "" || l.Letter.Sequence == 0 {
		return l, nil
	}
	m, err := b.original(ctx, l)
	if err != nil || m == nil {
		return l, err
	}
	address, ok := topology.ParseCommandSubject(m.Subject)
	if !ok {
		l.Letter.Subject, l.Letter.Size = m.Subject, cmp.Or(l.Letter.Size, len(m.Data))
		return l, nil
	}
	l.Domain = cmp.Or(l.Domain, address.Domain)
	found, of := identify(m, address), &l.Letter
	of.Subject, of.Tenant, of.Size = topology.PublishedSubject(address), cmp.Or(of.Tenant, address.Tenant), cmp.Or(of.Size, len(m.Data))
	of.Source, of.ID, of.Type = cmp.Or(of.Source, found.source), cmp.Or(of.ID, found.id), cmp.Or(of.Type, found.eventType)
	of.OperationID = cmp.Or(of.OperationID, found.operation)
	of.CorrelationID, of.TraceParent = cmp.Or(of.CorrelationID, found.correlation), cmp.Or(of.TraceParent, found.trace)
	return l, nil
}

// identity is what a stored command says of itself, as far as it can be read.
type identity struct {
	source, id, eventType, operation, correlation, trace string
	// unreadable says why no service could answer it; nil where one could.
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

// original reads the message that a letter is about; nil where its stream holds it no longer.
func (b *box) original(ctx context.Context, l Letter) (*jetstream.RawStreamMsg, error) {
	if l.Letter.Sequence == 0 {
		return nil, nil
	}
	stream, err := b.js.Stream(ctx, l.Letter.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrInvalidStreamName) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of %s: %w", l.Letter.Sequence, render.OneLine(l.Letter.Stream), err)
	}
	d, found, err := bus.Read(ctx, b.js, stream, l.Letter.Sequence)
	if err != nil || !found {
		return nil, err
	}
	return &jetstream.RawStreamMsg{Subject: d.Subject, Sequence: d.Sequence, Header: d.Header, Data: d.Data, Time: d.StoredAt}, nil
}

// errRecord says that a service can not tell either where an operation stands.
var errRecord = errors.New("the record of its operation can not be read")

// outcome reads an operation's; "" where it has none. The error wraps errRecord where no event of
// ours is the last.
func (b *box) outcome(ctx context.Context, tenant string, domain event.Domain, operationID string) (event.State, error) {
	if operationID == "" {
		return "", nil
	}
	events, err := b.js.Stream(ctx, topology.StreamEvents)
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
		return "", fmt.Errorf("%w: message %d of %s: %w", errRecord, m.Sequence, topology.StreamEvents, err)
	}
	state, _ := event.StateOf(e)
	if !state.Terminal() {
		return "", nil
	}
	return state, nil
}

// discard takes a letter out.
func (b *box) discard(ctx context.Context, l Letter) error {
	if err := bus.DeleteMessage(ctx, b.dead, l.Sequence); err != nil {
		return fmt.Errorf("take dead letter %d out of %s: %w", l.Sequence, topology.StreamDead, err)
	}
	return nil
}
