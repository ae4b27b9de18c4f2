package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

// Publishers publish while the server restarts twice: every confirmed message is handled.
func TestNoMessageIsLostThroughServerRestarts(t *testing.T) {
	t.Parallel()
	const publishers, each = 20, 150
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumerOf(time.Second)}), "S.a")

	published := map[string]bool{}
	var mu sync.Mutex // guards published
	var publishing sync.WaitGroup
	restarts := make(chan struct{})
	for range publishers {
		publishing.Go(func() {
			for range each {
				m := message.NewMessage(watermill.NewUUID(), nil)
				for stored := false; !stored; { // a confirmation may be lost
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					m.SetContext(ctx)
					stored = newPublisher(js).Publish("S.a", m) == nil
					cancel()
				}
				mu.Lock()
				published[m.UUID] = true
				n := len(published)
				mu.Unlock()
				if n == publishers*each/3 || n == publishers*each/2 {
					restarts <- struct{}{}
				}
			}
		})
	}
	go func() { publishing.Wait(); close(restarts) }()
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		for range restarts {
			server.restart()
		}
	}()

	handled := map[string]bool{}
	for len(handled) < publishers*each {
		m := receive(t, messages)
		handled[m.UUID] = true
		m.Ack()
	}
	<-restarted
	for id := range published {
		if !handled[id] {
			t.Errorf("message %s was lost", id)
		}
	}

	// After an idle time too, a message does not wait until the request that the server has
	// forgotten expires.
	server.restart()
	eventually(t, "published again", func() bool { // the client may not have noticed the lost connection yet
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := js.Publish(ctx, "S.a", nil)
		return err == nil
	})
	up := time.Now()
	receive(t, messages).Ack()
	if waited := time.Since(up); waited > 5*time.Second {
		t.Errorf("recovered %v after the reconnect", waited)
	}
	t.Logf("recovered %v after the reconnect", time.Since(up).Round(time.Millisecond))
}

func TestADeletedConsumerIsCreatedAgain(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js}), "S.a")
	publish(t, js, "S.a", "1")
	receive(t, messages).Ack()
	if err := js.DeleteConsumer(t.Context(), "S", "S_a"); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "S.a", "2")
	for _, want := range []string{"1", "2"} { // it starts with the oldest message
		m := receive(t, messages)
		if string(m.Payload) != want {
			t.Errorf("got %s, want %s", m.Payload, want)
		}
		m.Ack()
	}
}

// A small number of messages in flight must not stall the delivery.
func TestNoStall(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for _, parallel := range []int{1, 16} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			t.Parallel()
			js := startJetStream(t)
			createStream(t, js, "S")
			publishMany(t, js, "S.a", n, make([]byte, 1024))
			messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Parallel: parallel, Consumer: func(topic string) (string, jetstream.ConsumerConfig) {
				stream, c := consumerOf(10 * time.Second)(topic)
				c.MaxAckPending = parallel
				return stream, c
			}}), "S.a")
			start, pause := time.Now(), time.Duration(0)
			for range n {
				waiting := time.Now()
				receive(t, messages).Ack()
				pause = max(pause, time.Since(waiting))
			}
			t.Logf("%d messages in %v, longest pause %v", n, time.Since(start).Round(time.Millisecond), pause.Round(time.Millisecond))
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}
