package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SubscriberConfig configures a [Subscriber]. JS, Consumer and Malformed are required.
type SubscriberConfig struct {
	JS jetstream.JetStream
	// Consumer names the stream and the durable consumer of a topic; no stream for a topic that
	// it does not know. [Topics] is one.
	Consumer func(topic string) (stream string, c jetstream.ConsumerConfig)
	// Parallel is how many messages of a topic may be in flight here at once; 0 is 1. None is
	// fetched beyond them. A consumer with a pinned client has its own bound, MaxAckPending: its
	// messages are handed out by one subscriber at a time, those of a subject one after another,
	// others side by side.
	Parallel int
	// RebalanceInterval is how long a consumer with a pinned client is kept while other subscribers wait for it,
	// at least, and at most twice as long; 0 is 30 seconds. What it works on is finished before.
	RebalanceInterval time.Duration
	// NakDelay is how long a nacked message waits for its next delivery; nil is [Backoff].
	NakDelay func(Delivery, *message.Message) time.Duration
	// Malformed receives what can not be made a message: a header with two values or with
	// invalid UTF-8. Where it returns nil the message is settled for good, else it comes back.
	Malformed func(ctx context.Context, d Delivery, reason error) error
	// CloseTimeout is how long Close waits for messages in flight before it ends their
	// contexts; 0 is 20 seconds.
	CloseTimeout time.Duration
	Logger       *slog.Logger
}

// Backoff is the delay before the next delivery: 1 s, 2 s, 4 s … up to a minute, each spread
// by a quarter up or down so that what failed together does not come back together.
func Backoff(d Delivery, _ *message.Message) time.Duration {
	delay := time.Minute
	if d.NumDelivered <= 6 {
		delay = time.Second << max(d.NumDelivered, 1) >> 1
	}
	return time.Duration(float64(delay) * (0.75 + rand.Float64()/2))
}

// Subscriber is Watermill's Subscriber over JetStream pull consumers.
//
// A message is acknowledged after Ack, comes back after a delay after Nack, and while neither
// has been called the server hears every third of AckWait that it is being worked on. When the
// server restarts or loses the consumer, a subscription recovers within about a second of the
// reconnect, and makes the consumer again.
type Subscriber struct {
	config SubscriberConfig

	intake context.Context // ends when no more messages are to be taken
	stop   context.CancelFunc
	flight context.Context // ends when those in flight have had their time
	abort  context.CancelFunc

	mu      sync.Mutex // guards closed, and running.Add against running.Wait
	closed  bool
	running sync.WaitGroup
}

// NewSubscriber returns a Subscriber. It uses the connection of config.JS and leaves it open.
func NewSubscriber(config SubscriberConfig) *Subscriber {
	config.Parallel = max(config.Parallel, 1)
	config.CloseTimeout = cmp.Or(config.CloseTimeout, 20*time.Second)
	config.RebalanceInterval = cmp.Or(config.RebalanceInterval, 30*time.Second)
	config.Logger = cmp.Or(config.Logger, slog.Default())
	if config.NakDelay == nil {
		config.NakDelay = Backoff
	}
	s := &Subscriber{config: config}
	s.intake, s.stop = context.WithCancel(context.Background())
	s.flight, s.abort = context.WithCancel(context.Background())
	return s
}

// ErrClosed is returned by Subscribe after Close.
var ErrClosed = errors.New("bus: the subscriber is closed")

// Subscribe creates or checks the topic's consumer and delivers its messages. When ctx ends,
// or on Close, no more are taken, those in flight are settled, and then the channel is closed.
// A message's context carries the values of ctx, but not its end: a handler that has started
// may finish.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	stream, consumer := s.config.Consumer(topic)
	if stream == "" {
		return nil, fmt.Errorf("bus: no consumer belongs to the topic %q", topic)
	}
	checked, err := backoff.Retry(ctx, func() (jetstream.ConsumerConfig, error) {
		checked, err := EnsureConsumer(ctx, s.config.JS, stream, consumer)
		if err != nil && !away(err) {
			err = backoff.Permanent(err)
		}
		return checked, err
	}, backoff.WithMaxElapsedTime(subscribePatience))
	if err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	intake, cancel := context.WithCancel(ctx)
	context.AfterFunc(s.intake, cancel)
	sub := &subscription{
		SubscriberConfig: s.config,
		stream:           stream,
		consumer:         consumer,
		ackWait:          checked.AckWait,
		values:           context.WithoutCancel(ctx),
		flight:           s.flight,
		messages:         make(chan *message.Message),
		log:              s.config.Logger.With("stream", stream, "consumer", consumer.Durable),
		mayLog:           throttle(remindEvery),
	}
	s.running.Go(func() {
		defer cancel()
		defer close(sub.messages)
		if owned(consumer) {
			newOwner(sub).work(intake)
			return
		}
		var workers sync.WaitGroup
		for range s.config.Parallel {
			workers.Go(func() { sub.work(intake) })
		}
		workers.Wait()
	})
	return sub.messages, nil
}

// subscribePatience is how long Subscribe waits for a JetStream that does not answer, as one does
// that has just lost a server.
const subscribePatience = time.Minute

// away reports whether JetStream did not answer, or has no leader: later it may.
func away(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		ok && refused.Code == http.StatusServiceUnavailable
}

// Close takes no more messages, waits until those in flight are settled and hands their
// acknowledgements to the server. After CloseTimeout it ends the contexts of those still in
// flight, and leaves what is not settled a second later to its AckWait. It may be called again.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()

	settled := make(chan struct{})
	go func() { s.running.Wait(); close(settled) }()
	select {
	case <-settled:
	case <-time.After(s.config.CloseTimeout):
		s.config.Logger.Warn("messages still in flight at close; ending their contexts")
		s.abort()
		<-settled
	}
	if err := s.config.JS.Conn().FlushTimeout(5 * time.Second); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("bus: acknowledgements may be lost, and their messages delivered again: %w", err)
	}
	return nil
}
