// Package streamreader reads a stream of JetStream from its beginning to its present end.
package streamreader

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// maxSilence is how long no message may come before the reader asks whether any are left: the last
// ones may have been deleted since the server counted them.
const maxSilence = time.Second

// Message is a message, and where it stands in its stream.
type Message struct {
	jetstream.Msg
	Metadata *jetstream.MsgMetadata
}

// Messages yields the messages that a stream has and that config selects, in the order of the
// stream. It ends behind the last one. After an error, such as the end of ctx, it yields nothing
// more. A lost connection is no error: the ordered consumer goes on where it was.
func Messages(
	ctx context.Context, js jetstream.JetStream, stream string, config jetstream.OrderedConsumerConfig,
) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		fail := func(err error) { yield(Message{}, fmt.Errorf("read %s: %w", stream, err)) }
		consumer, err := js.OrderedConsumer(ctx, stream, config)
		if err != nil {
			fail(err)
			return
		}
		left := consumer.CachedInfo().NumPending
		if left == 0 {
			return
		}
		messages, err := consumer.Messages()
		if err != nil {
			fail(err)
			return
		}
		defer messages.Stop()
		for last := new(jetstream.MsgMetadata); left > 0; {
			m, err := next(ctx, messages)
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				left = pending(ctx, consumer, last, left)
				continue
			}
			if err != nil {
				fail(err)
				return
			}
			if !yield(m, nil) {
				return
			}
			last, left = m.Metadata, m.Metadata.NumPending
		}
	}
}

func next(ctx context.Context, messages jetstream.MessagesContext) (Message, error) {
	if err := ctx.Err(); err != nil {
		return Message{}, err // rather than a message that is buffered
	}
	ctx, cancel := context.WithTimeout(ctx, maxSilence)
	defer cancel()
	m, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return Message{}, err
	}
	metadata, err := m.Metadata()
	return Message{m, metadata}, err
}

// pending is how many messages are left for a consumer that has been silent since the message last,
// when left were. They are left still if the server does not answer, or has delivered a message
// that has not arrived yet.
func pending(ctx context.Context, consumer jetstream.Consumer, last *jetstream.MsgMetadata, left uint64) uint64 {
	info, err := consumer.Info(ctx)
	if err != nil {
		return left
	}
	arrived := uint64(0) // of this consumer, which may have taken the place of the one that delivered last
	if last.Consumer == info.Name {
		arrived = last.Sequence.Consumer
	}
	if info.Delivered.Consumer > arrived {
		return left
	}
	return info.NumPending
}
