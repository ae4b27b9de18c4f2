package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Source is a part of a stream to follow: its subjects, and where to start. The zero
// OrderedConsumerConfig is the whole stream from its first message.
type Source struct {
	// Stream is the name of a stream: COMMANDS, EVENTS, MAILBOXES, DRIFT or DEAD, as in package
	// topology.
	Stream string
	jetstream.OrderedConsumerConfig
}

// idleConsumer is when the server deletes a consumer without pull requests.
const idleConsumer = time.Minute

// Follow returns an iterator over the messages of its sources as they are stored, until ctx ends or
// the loop is left. The messages of a source come in the order of its stream; those of two sources
// are in no order. The iterator starts at messages that were stored before Follow returned, if the
// source says so, and misses none that is stored after. After an outage of NATS it goes on by
// itself.
//
// Errors: [ErrNoStreams]; an error of the server about a source; ctx's own.
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
		// Nobody waits for the iterators: during an outage of NATS one may take seconds to stop.
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
		// With DeliverNew, a consumer that is created again before its first message would skip the
		// messages that were stored in between.
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

// feed sends the messages of an iterator until the iterator is stopped. An ordered consumer
// recovers from every other error by itself.
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
