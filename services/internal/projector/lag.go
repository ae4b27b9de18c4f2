package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Lag is how far a projection is behind its stream.
type Lag struct {
	// Messages is the number of messages after the position that the projection follows.
	Messages uint64
	// Since is when the first of them was stored, by the server's clock; zero if there are none.
	Since time.Time
	// Last is the stream's last sequence.
	Last uint64
	// Halt says why the projection cannot go on; nil if it can.
	Halt error
}

// lagConsumerAge is when the server deletes the consumer of a measurement. projection-svc may not
// delete consumers itself: it could delete those of the workers.
const lagConsumerAge = 5 * time.Second

// MeasureLag measures the lag of a projection at a position: the zero [Checkpoint] for a projection
// that never ran. The error is about NATS.
func MeasureLag(ctx context.Context, js jetstream.JetStream, p Projection, at Checkpoint) (Lag, error) {
	stream, err := js.Stream(ctx, p.Stream())
	if err != nil {
		return Lag{}, fmt.Errorf("stream %s: %w", p.Stream(), err)
	}
	lag := Lag{Last: stream.CachedInfo().State.LastSeq}
	if !at.Incarnation.IsZero() {
		err = at.Check(ctx, js, p, stream)
	}
	if halt, ok := errors.AsType[*Halt](err); ok {
		lag.Halt = halt
		return lag, nil
	}
	if err != nil {
		return lag, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(at.Sequence) + 1, FilterSubjects: p.Subjects(),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, HeadersOnly: true, InactiveThreshold: lagConsumerAge,
	})
	if err != nil {
		return lag, fmt.Errorf("stream %s: %w", p.Stream(), err)
	}
	lag.Messages = consumer.CachedInfo().NumPending
	if lag.Messages == 0 {
		return lag, nil
	}
	first, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return lag, nil //nolint:nilerror // the message was deleted after the consumer was created
	}
	meta, err := first.Metadata()
	if err != nil {
		return lag, fmt.Errorf("stream %s: %w", p.Stream(), err)
	}
	lag.Since = meta.Timestamp.UTC()
	return lag, nil
}
