package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Source is a part of a stream to follow: which subjects, and from where on. The zero
// OrderedConsumerConfig is all of it, from the start.
type Source struct {
	// Stream is COMMANDS, EVENTS, MAILBOXES, DRIFT or DEAD, as package bus names them.
	Stream string
	jetstream.OrderedConsumerConfig
}

// idleConsumer is how long the server keeps a consumer of ours that nobody asks any more.
const idleConsumer = time.Minute

// Follow gives the messages of its sources as they are stored, each source's in its stream's order,
// until ctx ends. It goes on by itself after NATS was away. What is stored after Follow has
// returned is not missed. Errors: [ErrNoStreams], what NATS says against a source, and ctx's own.
func Follow(ctx context.Context, js jetstream.JetStream, sources ...Source) (iter.Seq[jetstream.Msg], error) {
	var iterators []jetstream.MessagesContext
	stop := func() {
		for _, it := range iterators {
			it.Stop()
		}
	}
	for _, s := range sources {
		it, err := open(ctx, js, s)
		if err != nil {
			stop()
			return nil, err
		}
		iterators = append(iterators, it)
	}
	return func(yield func(jetstream.Msg) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		// Not awaited: while NATS is away, an iterator may take seconds to notice that it was
		// stopped.
		context.AfterFunc(ctx, stop)
		merged := make(chan jetstream.Msg)
		for _, it := range iterators {
			go feed(ctx, it, merged)
		}
		for {
			select {
			case m := <-merged:
				if !yield(m) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}, nil
}

func open(ctx context.Context, js jetstream.JetStream, s Source) (jetstream.MessagesContext, error) {
	config := s.OrderedConsumerConfig
	config.InactiveThreshold = idleConsumer
	if config.DeliverPolicy == jetstream.DeliverNewPolicy {
		// "New" would begin anew, and leave a gap, where the consumer is lost before its first
		// message.
		stream, err := persist(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, s.Stream) })
		if err != nil {
			return nil, missing(s.Stream, err)
		}
		config.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		config.OptStartSeq = stream.CachedInfo().State.LastSeq + 1
	}
	consumer, err := persist(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return js.OrderedConsumer(ctx, s.Stream, config)
	})
	if err != nil {
		return nil, missing(s.Stream, err)
	}
	it, err := consumer.Messages()
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", s.Stream, err)
	}
	return it, nil
}

func missing(stream string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = ErrNoStreams
	}
	return fmt.Errorf("stream %s: %w", stream, err)
}

// feed ends when its iterator is stopped; an ordered consumer recovers from every other error by
// itself.
func feed(ctx context.Context, it jetstream.MessagesContext, to chan<- jetstream.Msg) {
	for {
		m, err := it.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) || ctx.Err() != nil {
			return
		}
		if err != nil {
			continue
		}
		select {
		case to <- m:
		case <-ctx.Done():
			return
		}
	}
}
