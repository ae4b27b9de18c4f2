package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullMessages and pullBytes bound what the client buffers ahead.
	pullMessages, pullBytes = 1000, 8 << 20
	heartbeat               = time.Second
	pullExpiry              = 10 * time.Second
	// forgetAfter is when the server drops a consumer that nobody pulls from.
	forgetAfter = 30 * time.Second
)

// errGap: the server has delivered what did not reach us, as happens around a reconnect.
var errGap = errors.New("messages were lost on the way")

// reader reads a stream's messages in order by a consumer of its own, without acknowledgements.
type reader struct {
	consumer  jetstream.Consumer
	messages  jetstream.MessagesContext
	tuning    Tuning
	delivered uint64 // messages of this consumer that have reached us
	last      int64
}

func open(ctx context.Context, stream jetstream.Stream, subjects []string, after int64, t Tuning) (*reader, error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       uint64(after) + 1,
		FilterSubjects:    subjects,
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: forgetAfter,
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
	return &reader{consumer: consumer, messages: messages, tuning: t, last: after}, nil
}

func (r *reader) close() { r.messages.Stop() }

// gather waits for a message and takes what follows it within the window. No record and no error: idle.
func (r *reader) gather(ctx context.Context) ([]Record, error) {
	first, err := r.next(ctx, r.tuning.Idle)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	window, cancel := context.WithTimeout(ctx, r.tuning.Window)
	defer cancel()
	batch, size := []Record{first}, len(first.Data)
	for len(batch) < r.tuning.MaxBatch && size < pullBytes {
		record, err := r.take(window)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return nil, err
		}
		batch, size = append(batch, record), size+len(record.Data)
	}
	return batch, nil
}

func (r *reader) next(ctx context.Context, wait time.Duration) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return r.take(ctx)
}

func (r *reader) take(ctx context.Context) (Record, error) {
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
	r.delivered, r.last = meta.Sequence.Consumer, sequence
	return Record{Subject: m.Subject(), Sequence: sequence, StoredAt: meta.Timestamp.UTC(), Header: m.Headers(), Data: m.Data()}, nil
}

// check finds out, when nothing comes, whether that is because nothing is there.
func (r *reader) check(ctx context.Context) error {
	info, err := r.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if info.Delivered.Consumer > r.delivered {
		return errGap
	}
	return nil
}
