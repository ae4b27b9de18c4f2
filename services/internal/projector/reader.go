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
	pullBytes    = 8 << 20
	heartbeat    = time.Second
	pullExpiry   = 10 * time.Second
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
	tuning    Tuning
	limit     int64  // the last sequence to read
	delivered uint64 // number of messages of this consumer that arrived
	pending   uint64 // number of messages in the stream after the last one
	last      int64  // sequence of the last message
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
	return &reader{
		consumer: consumer, messages: messages, tuning: t,
		limit: limit, last: after, pending: consumer.CachedInfo().NumPending,
	}, nil
}

func (r *reader) close() { r.messages.Stop() }

// gather waits for a message, and returns it with the messages that follow within the window. While
// there is a backlog it does not look at the window, and returns a full batch. No records and no
// error: the stream was idle for [Tuning.Idle]. [io.EOF]: no message is left up to the limit.
func (r *reader) gather(ctx context.Context) ([]Record, error) {
	if r.bounded() && (r.last >= r.limit || r.pending == 0) {
		if err := r.check(ctx); err != nil {
			return nil, err
		}
	}
	first, err := r.next(ctx, r.tuning.Idle)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, r.check(ctx)
	}
	if err != nil {
		return nil, err
	}
	window, cancel := context.WithTimeout(ctx, r.tuning.Window)
	defer cancel()
	batch, size := []Record{first}, len(first.Data)
	for len(batch) < r.tuning.MaxBatch && size < pullBytes && (!r.bounded() || r.pending > 0) {
		within := window
		// a backlog: the next message is in the stream, and full batches cost less
		if r.pending > 0 {
			within = ctx
		}
		record, err := r.next(within, r.tuning.Idle)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		batch, size = append(batch, record), size+len(record.Data)
	}
	return batch, nil
}

func (r *reader) bounded() bool { return r.limit != noLimit }

// next is receive with a time limit.
func (r *reader) next(ctx context.Context, wait time.Duration) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return r.receive(ctx)
}

// receive returns the next message. The error is errGap if messages before it are missing, and
// io.EOF if it is after the limit.
func (r *reader) receive(ctx context.Context) (Record, error) {
	m, err := r.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return Record{}, fmt.Errorf("read: %w", err)
	}
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
