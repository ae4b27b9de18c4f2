package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
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
	// Consumer returns the stream and the durable consumer of a topic; "" is an unknown topic. See
	// [Topics].
	Consumer func(topic string) (stream string, c jetstream.ConsumerConfig)
	// Parallel is how many messages of a topic may be in flight in this process; 0 is 1. It does
	// not apply to a consumer with a pinned client, whose MaxAckPending is the bound.
	Parallel int
	// RebalanceInterval is how long a process keeps a partition while other processes wait for it,
	// at least, and at most twice as long; 0 is 30 seconds. It finishes its started messages
	// before.
	RebalanceInterval time.Duration
	// Admission limits what is started of the messages of a consumer with a pinned client. A
	// handler of a message that it has admitted calls [Delivery.ReleasePermit]. nil: there is no
	// limit.
	Admission Admission
	// SetAside stores elsewhere what is to become of messages that fill their partition's window
	// and are not admitted. They are in the order of the stream. When it returns nil they are
	// acknowledged: a handler of a later message of their subject must find them where they are.
	// nil: they stay, and those behind them wait.
	SetAside func(ctx context.Context, messages []Delivery) error
	// NakDelay returns the delay until a nacked message is delivered again; nil is [Backoff].
	NakDelay func(Delivery, *message.Message) time.Duration
	// Malformed receives a delivery that cannot be made a Watermill message: a header has two
	// values or invalid UTF-8. If it returns nil the delivery is acked, else it is nacked. Without
	// Malformed it is nacked for ever.
	Malformed func(ctx context.Context, d Delivery, reason error) error
	// CloseTimeout is how long Close waits for handlers before it ends their contexts; 0 is 20
	// seconds.
	CloseTimeout time.Duration
	Logger       *slog.Logger
}

// Backoff returns the delay until the next delivery: 1 s, 2 s, 4 s … up to a minute, each changed
// by up to a quarter at random, so that messages that failed together are not delivered together
// again.
func Backoff(d Delivery, _ *message.Message) time.Duration {
	delay := time.Minute
	if d.NumDelivered <= 6 {
		delay = time.Second << max(d.NumDelivered, 1) >> 1
	}
	return time.Duration(float64(delay) * (0.75 + rand.Float64()/2))
}

// Subscriber is Watermill's Subscriber over JetStream pull consumers.
//
// A message is acknowledged after Ack, and redelivered after a delay after Nack. Until then the
// server gets heartbeats for it, so a handler may take longer than AckWait. When the server
// restarts or the consumer is deleted, a subscription recovers within about a second of the
// reconnect, and creates the consumer again.
//
// A consumer with a pinned client keeps order: the messages of a subject are handled one after
// another, in the order of the stream, whichever process handles them. Messages of different
// subjects are handled at the same time. Other consumers keep no order.
type Subscriber struct {
	config SubscriberConfig

	closing  chan struct{} // closed when no more messages are to be taken
	abort    chan struct{} // closed when handlers have had their time
	stopOnce sync.Once     // closes closing
	endOnce  sync.Once     // closes abort

	mu         sync.Mutex // guards closed, partitions, and running.Add against running.Wait
	closed     bool
	partitions []*partitionConsumer
	running    sync.WaitGroup
}

// NewSubscriber returns a Subscriber over config.JS, whose connection it leaves open.
func NewSubscriber(config SubscriberConfig) *Subscriber {
	config.Parallel = max(config.Parallel, 1)
	config.CloseTimeout = cmp.Or(config.CloseTimeout, 20*time.Second)
	config.RebalanceInterval = cmp.Or(config.RebalanceInterval, 30*time.Second)
	config.Logger = cmp.Or(config.Logger, slog.Default())
	if config.NakDelay == nil {
		config.NakDelay = Backoff
	}
	return &Subscriber{config: config, closing: make(chan struct{}), abort: make(chan struct{})}
}

// ErrClosed is returned by Subscribe after Close.
var ErrClosed = errors.New("bus: the subscriber is closed")

// subscribeTimeout is how long Subscribe waits for a JetStream that is unavailable, for example
// because it has just lost a server.
const subscribeTimeout = time.Minute

// Subscribe creates or checks the topic's consumer and delivers its messages. When ctx ends, or on
// Close, it takes no more messages, waits for the running handlers, and closes the channel. The
// context of a message has the values of ctx. It does not end with ctx, so that a handler may
// finish.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	stream, consumer := s.config.Consumer(topic)
	if stream == "" {
		return nil, fmt.Errorf("bus: no consumer belongs to the topic %q", topic)
	}
	checked, err := backoff.Retry(ctx, func() (jetstream.ConsumerConfig, error) {
		checked, err := EnsureConsumer(ctx, s.config.JS, stream, consumer)
		if err != nil && !IsUnavailable(err) {
			err = backoff.Permanent(err)
		}
		return checked, err
	}, backoff.WithMaxElapsedTime(subscribeTimeout))
	if err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	sub := &subscription{
		config:     s.config,
		nc:         s.config.JS.Conn(),
		stream:     stream,
		consumer:   consumer,
		ackWait:    checked.AckWait,
		messages:   make(chan *message.Message),
		abort:      s.abort,
		log:        s.config.Logger.With("stream", stream, "consumer", consumer.Durable),
		logLimiter: throttle(logInterval),
	}
	s.running.Go(func() { s.run(ctx, sub) })
	return sub.messages, nil
}

// run delivers a subscription's messages until ctx ends or on Close.
func (s *Subscriber) run(ctx context.Context, sub *subscription) {
	defer close(sub.messages)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	if isPinned(sub.consumer) {
		c := newPartitionConsumer(sub)
		s.mu.Lock()
		s.partitions = append(s.partitions, c)
		s.mu.Unlock()
		c.run(ctx)
	} else {
		newSharedConsumer(sub).run(ctx)
	}
}

// Measure sets the gauges of the partitions, with a request for each.
func (s *Subscriber) Measure(ctx context.Context) {
	s.mu.Lock()
	partitions := slices.Clone(s.partitions)
	s.mu.Unlock()
	for _, c := range partitions {
		c.lease.measure(ctx)
	}
}

// Close takes no more messages, waits for the running handlers, and sends their acknowledgements.
// After CloseTimeout it ends the contexts of those that still run. A message whose handler does not
// end within a second after that is redelivered after AckWait. Close may be called again.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stopOnce.Do(func() { close(s.closing) })

	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(s.config.CloseTimeout):
		s.config.Logger.Warn("handlers still run at close; their contexts end now")
		s.endOnce.Do(func() { close(s.abort) })
		<-ended
	}
	err := s.config.JS.Conn().FlushTimeout(5 * time.Second)
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("bus: acknowledgements may be lost, and their messages redelivered: %w", err)
	}
	return nil
}
