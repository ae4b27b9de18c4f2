package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

func TestCloseWaitsForHandlersAndReturnsTheRest(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", 10, nil)
	consumer := func(topic string) (string, jetstream.ConsumerConfig) {
		stream, c := consumerOf(time.Minute)(topic)
		c.MaxAckPending = 4
		return stream, c
	}
	s := newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumer, Parallel: 4})
	messages := subscribe(t, s, "S.a")
	running := []*message.Message{receive(t, messages), receive(t, messages)}
	// Two more are delivered, but no handler has taken them.
	eventually(t, "four are unacknowledged", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == 4 })

	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	eventually(t, "Close has begun", func() bool {
		_, err := s.Subscribe(t.Context(), "S.a")
		return errors.Is(err, bus.ErrClosed)
	})
	left := map[uint64]bool{}
	for _, m := range running {
		left[delivery(t, m).Sequence] = true
		select {
		case <-closed:
			t.Fatal("Close returned with a message in flight")
		default:
		}
		if err := m.Context().Err(); err != nil {
			t.Errorf("the context of a running handler: %v", err)
		}
		m.Ack()
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, open := <-messages; open {
		t.Error("the channel is still open")
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}

	// Another process gets all others at once: none waits for an AckWait of a minute.
	other := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumer, Parallel: 4}), "S.a")
	for range 8 {
		m := receive(t, other)
		left[delivery(t, m).Sequence] = true
		m.Ack()
	}
	if len(left) != 10 {
		t.Errorf("handled %v, want all of 10", left)
	}
}

func TestCloseEndsHandlersAfterItsTimeout(t *testing.T) {
	t.Parallel()
	for name, consumer := range map[string]func(string) (string, jetstream.ConsumerConfig){"Shared": consumerOf(time.Minute), "Partition": pinnedOf(time.Minute)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := startJetStream(t)
			createStream(t, js, "S")
			publish(t, js, "S.a", "")
			s := newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumer, CloseTimeout: 50 * time.Millisecond})
			m := receive(t, subscribe(t, s, "S.a"))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if m.Context().Err() == nil {
				t.Error("the handler's context has not ended")
			}
			none(t, subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumer}), "S.a"), "a handler may still run")
		})
	}
}

// A message that was delivered to a stopping process, but not started, must be nacked: with
// MaxAckPending 1 the consumer would wait for AckWait.
func TestStoppingUnderLoadReturnsEveryUnstartedMessage(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", 20_000, nil)
	next := uint64(1)
	for range 100 {
		s := newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumerOf(time.Minute)})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		messages := must(s.Subscribe(ctx, "S.a"))(t)
		time.AfterFunc(20*time.Second, cancel) // well before AckWait
		stop := next + rand.Uint64N(100)
		for m := range messages {
			if got := delivery(t, m).Sequence; got != next {
				t.Fatalf("got message %d, want %d", got, next)
			}
			m.Ack()
			if next++; next > stop {
				go cancel()
			}
		}
		if next <= stop {
			t.Fatalf("no message after %d: it was not nacked", next-1)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContextsMayEndAtAnyTime(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", 500, nil)

	var wg sync.WaitGroup
	for i := range 40 {
		own := server.connect(t)
		s := bus.NewSubscriber(bus.SubscriberConfig{JS: own, Consumer: consumerOf(time.Second), Parallel: 3, CloseTimeout: time.Millisecond, Logger: quiet})
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Millisecond))
		wg.Go(func() {
			defer cancel()
			messages, err := s.Subscribe(ctx, "S.a")
			if err != nil {
				return // the context was faster
			}
			for m := range messages {
				switch rand.IntN(3) {
				case 0:
					m.Ack()
				case 1:
					m.Nack()
				} // else: neither
			}
		})
		wg.Go(func() {
			switch i % 3 {
			case 0:
				own.Conn().Close()
			case 1:
				_ = s.Close()
			}
			_ = s.Close()
		})
	}
	wg.Wait()
}

// In Watermill's Router a message whose handler panics or fails is nacked with a delay, and closing
// the Router loses no acknowledgement.
func TestRouter(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", 20, nil)
	router := must(message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NewSlogLogger(slog.New(slog.DiscardHandler))))(t)
	var calls, last atomic.Int32
	reached := make(chan struct{})
	router.AddConsumerHandler("h", "S.a", newSubscriber(t, bus.SubscriberConfig{
		JS:       js,
		NakDelay: func(bus.Delivery, *message.Message) time.Duration { return time.Millisecond },
	}), func(m *message.Message) error {
		switch n := calls.Add(1); {
		case n%5 == 0:
			return errors.New("no")
		case n%7 == 0:
			panic("a bug")
		}
		d, _ := bus.DeliveryFrom(m.Context())
		last.Store(int32(d.Sequence))
		if d.Sequence == 15 {
			close(reached)
		}
		return nil
	})
	ran := make(chan error, 1)
	go func() { ran <- router.Run(context.Background()) }()
	<-reached
	if err := router.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	closed := time.Now()
	eventually(t, "the server has every acknowledgement of the handler", func() bool {
		return consumerInfo(t, js, "S_a").AckFloor.Stream == uint64(last.Load())
	})
	next := receive(t, subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js}), "S.a"))
	if d := delivery(t, next); d.Sequence != uint64(last.Load())+1 || time.Since(closed) > 5*time.Second {
		t.Errorf("message %d came %v after the close; message %d was not nacked", d.Sequence, time.Since(closed), last.Load()+1)
	}
	next.Ack()
}
