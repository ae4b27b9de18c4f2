package projector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullMessages and pullBytes bound the messages that the client buffers.
	pullMessages = 2000
	pullBytes    = 4 << 20
	// recordBytes is what a record counts beside its data: its header and what is made of it.
	recordBytes = 512
	// handedOn is how many messages wait beside those that the client buffers.
	handedOn   = 64
	heartbeat  = time.Second
	pullExpiry = 10 * time.Second
	// inactiveThreshold is when the server deletes a consumer without pull requests.
	inactiveThreshold = 30 * time.Second
	// noLimit is the limit of a reader that follows the stream without end.
	noLimit = math.MaxInt64
)

// errGap says that the server delivered messages that did not arrive, as happens around a
// reconnect.
var errGap = errors.New("messages were lost on the way")

// reader reads the messages of a stream in order, through an ephemeral consumer without
// acknowledgements.
type reader struct {
	consumer  jetstream.Consumer
	messages  jetstream.MessagesContext
	arrived   chan arrival
	tuning    Tuning
	limit     int64  // the last sequence to read
	delivered uint64 // number of messages of this consumer that arrived
	pending   uint64 // number of messages in the stream after the last one
	last      int64  // sequence of the last message
}

// arrival is the next message, or the error in its place, after which none comes.
type arrival struct {
	message jetstream.Msg
	err     error
}

// open creates the consumer. It starts after the sequence after, and the reader ends at the
// sequence limit.
func open(ctx context.Context, stream jetstream.Stream, subjects []string, after, limit int64, t Tuning) (*reader, error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       uint64(after) + 1,
		FilterSubjects:    subjects,
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: inactiveThreshold,
	})
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	messages, err := consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(heartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	r := &reader{
		consumer: consumer, messages: messages, arrived: make(chan arrival, handedOn), tuning: t,
		limit: limit, last: after, pending: consumer.CachedInfo().NumPending,
	}
	go r.pull()
	return r, nil
}

// pull hands on what arrives until there is an error, as close brings about.
func (r *reader) pull() {
	defer close(r.arrived)
	for {
		m, err := r.messages.Next()
		r.arrived <- arrival{m, err}
		if err != nil {
			return
		}
	}
}

func (r *reader) close() {
	r.messages.Stop()
	for range r.arrived { // until pull has ended
	}
}

// gather waits for a message, and returns it with the messages that follow within the window. While
// there is a backlog it does not look at the window, and returns a full batch. No records and no
// error: the stream was idle for [Tuning.Idle]. [io.EOF]: no message is left up to the limit.
func (r *reader) gather(ctx context.Context) ([]Record, error) {
	if r.bounded() && (r.last >= r.limit || r.pending == 0) {
		if err := r.check(ctx); err != nil {
			return nil, err
		}
	}
	first, err := r.receive(ctx, time.After(r.tuning.Idle))
	if errors.Is(err, errTimeout) {
		return nil, r.check(ctx)
	}
	if err != nil {
		return nil, err
	}
	window, stalled := time.After(r.tuning.Window), time.After(r.tuning.Idle)
	batch, size := []Record{first}, first.size()
	for len(batch) < r.tuning.MaxBatch && size < r.tuning.MaxBytes && (!r.bounded() || r.pending > 0) {
		within := window
		// a backlog: the next message is in the stream, and full batches cost less
		if r.pending > 0 {
			within = stalled
		}
		record, err := r.receive(ctx, within)
		if errors.Is(err, errTimeout) || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		batch, size = append(batch, record), size+record.size()
	}
	return batch, nil
}

func (r Record) size() int { return recordBytes + len(r.Data) }

func (r *reader) bounded() bool { return r.limit != noLimit }

// errTimeout says that no message arrived in time.
var errTimeout = errors.New("no message arrived in time")

// receive returns the next message. The error is errTimeout if none arrives before timeout, errGap
// if messages before it are missing, and io.EOF if it is after the limit.
func (r *reader) receive(ctx context.Context, timeout <-chan time.Time) (Record, error) {
	var next arrival
	var open bool
	select {
	case next, open = <-r.arrived:
		if !open {
			return Record{}, jetstream.ErrMsgIteratorClosed
		}
	case <-timeout:
		return Record{}, errTimeout
	case <-ctx.Done():
		return Record{}, ctx.Err()
	}
	if next.err != nil {
		return Record{}, fmt.Errorf("read: %w", next.err)
	}
	m := next.message
	meta, err := m.Metadata()
	if err != nil {
		return Record{}, fmt.Errorf("read: %w", err)
	}
	sequence := int64(meta.Sequence.Stream)
	if meta.Sequence.Consumer != r.delivered+1 || sequence <= r.last {
		return Record{}, errGap
	}
	r.delivered = meta.Sequence.Consumer
	r.last = sequence
	r.pending = meta.NumPending
	if sequence > r.limit {
		return Record{}, io.EOF
	}
	return Record{
		Subject: m.Subject(), Sequence: sequence, StoredAt: meta.Timestamp.UTC(), Header: m.Headers(), Data: m.Data(),
	}, nil
}

// check asks the server why no message arrives. It returns errGap if the server has delivered one,
// io.EOF if none is left up to the limit, and nil if the stream is idle.
func (r *reader) check(ctx context.Context) error {
	if r.last >= r.limit {
		return io.EOF
	}
	info, err := r.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	r.pending = info.NumPending
	if info.Delivered.Consumer > r.delivered {
		return errGap
	}
	if r.bounded() && r.pending == 0 {
		return io.EOF
	}
	return nil
}
