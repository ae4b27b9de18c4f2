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
	// pullMessages and pullBytes bound what the client buffers ahead.
	pullMessages, pullBytes = 2000, 8 << 20
	heartbeat               = time.Second
	pullExpiry              = 10 * time.Second
	// inactiveThreshold is when the server drops a consumer that nobody pulls from.
	inactiveThreshold = 30 * time.Second
	// noLimit is the limit of a reader that follows.
	noLimit = math.MaxInt64
)

// errGap: the server has delivered what did not reach us, as happens around a reconnect.
var errGap = errors.New("messages were lost on the way")

// reader reads a stream's messages in order by a consumer of its own, without acknowledgements.
type reader struct {
	consumer  jetstream.Consumer
	messages  jetstream.MessagesContext
	tuning    Tuning
	limit     int64  // the last sequence that is wanted
	delivered uint64 // messages of this consumer that have reached us
	pending   uint64 // messages that the stream held for us beyond the last one
	last      int64
}

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
	return &reader{consumer: consumer, messages: messages, tuning: t, limit: limit, last: after, pending: consumer.CachedInfo().NumPending}, nil
}

func (r *reader) close() { r.messages.Stop() }

// gather waits for a message and takes what follows it within the window, or while there is a
// backlog, until the batch is full. No record and no error: idle. [io.EOF]: nothing is left up to
// the limit.
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
		if r.pending > 0 { // a backlog: what is there comes for certain, and full batches cost less
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

func (r *reader) next(ctx context.Context, wait time.Duration) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return r.receive(ctx)
}

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
	r.delivered, r.last, r.pending = meta.Sequence.Consumer, sequence, meta.NumPending
	if sequence > r.limit {
		return Record{}, io.EOF
	}
	return Record{Subject: m.Subject(), Sequence: sequence, StoredAt: meta.Timestamp.UTC(), Header: m.Headers(), Data: m.Data()}, nil
}

// check finds out, when nothing comes, whether that is because nothing is there.
func (r *reader) check(ctx context.Context) error {
	if r.last >= r.limit {
		return io.EOF
	}
	info, err := r.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if r.pending = info.NumPending; info.Delivered.Consumer > r.delivered {
		return errGap
	}
	if r.bounded() && r.pending == 0 {
		return io.EOF
	}
	return nil
}
