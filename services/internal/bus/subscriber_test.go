package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// consumerOf maps every topic to a durable consumer of the stream S with MaxAckPending 1.
func consumerOf(ackWait time.Duration) func(string) (string, jetstream.ConsumerConfig) {
	return func(topic string) (string, jetstream.ConsumerConfig) {
		return "S", jetstream.ConsumerConfig{
			Durable:       strings.NewReplacer(".", "_", ">", "all").Replace(topic),
			FilterSubject: topic,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       ackWait,
			MaxAckPending: 1,
		}
	}
}

// newSubscriber sets defaults for a test, and closes the subscriber at its end.
func newSubscriber(tb testing.TB, c bus.SubscriberConfig) *bus.Subscriber {
	tb.Helper()
	if c.Consumer == nil {
		c.Consumer = consumerOf(10 * time.Second)
	}
	if c.Logger == nil {
		c.Logger = quiet
	}
	s := bus.NewSubscriber(c)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func subscribe(tb testing.TB, s *bus.Subscriber, topic string) <-chan *message.Message {
	tb.Helper()
	return must(s.Subscribe(context.Background(), topic))(tb)
}

func receive(tb testing.TB, messages <-chan *message.Message) *message.Message {
	tb.Helper()
	select {
	case m, ok := <-messages:
		if !ok {
			tb.Fatal("the channel is closed")
		}
		return m
	case <-time.After(20 * time.Second):
		tb.Fatal("no message")
		return nil
	}
}

func delivery(tb testing.TB, m *message.Message) bus.Delivery {
	tb.Helper()
	d, ok := bus.DeliveryFrom(m.Context())
	if !ok {
		tb.Fatal("the message's context has no delivery")
	}
	return d
}

func consumerInfo(tb testing.TB, js jetstream.JetStream, name string) *jetstream.ConsumerInfo {
	tb.Helper()
	return must(must(js.Consumer(tb.Context(), "S", name))(tb).Info(tb.Context()))(tb)
}

func TestMessagesAndTheirDelivery(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	before := time.Now().Add(-time.Second)

	own := message.NewMessage("own", []byte("1"))
	own.Metadata.Set("ce-id", "x")
	if err := newPublisher(js).Publish("S.a", own); err != nil {
		t.Fatal(err)
	}
	foreign := nats.NewMsg("S.a")
	foreign.Header.Set("Nats-Msg-Id", "foreign")
	publishMsg(t, js, foreign)
	publish(t, js, "S.a", "3")

	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js}), "S.a")
	for i, uuid := range []string{"own", "foreign", "S/3"} {
		m := receive(t, messages)
		d := delivery(t, m)
		if m.UUID != uuid {
			t.Errorf("message %d has the UUID %q, want %q", i+1, m.UUID, uuid)
		}
		if d.Stream != "S" || d.Consumer != "S_a" || d.Subject != "S.a" || d.Sequence != uint64(i+1) ||
			d.NumDelivered != 1 || d.StoredAt.Before(before) || string(d.Data) != string(m.Payload) {
			t.Errorf("message %d: %+v", i+1, d)
		}
		if i == 0 && (m.Metadata.Get("ce-id") != "x" || m.Metadata.Get("Nats-Msg-Id") != "S.a/own" || d.Header.Get("ce-id") != "x") {
			t.Errorf("metadata %v, header %v", m.Metadata, d.Header)
		}
		m.Ack()
	}
}

func TestPublisherDeduplicates(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	p := newPublisher(js)
	named := message.NewMessage("b", nil)
	named.Metadata.Set("Nats-Msg-Id", "named")
	if err := p.Publish("S.a", message.NewMessage("a", nil), message.NewMessage("a", nil), named, named, message.NewMessage("c", nil)); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish("S.b", message.NewMessage("c", nil)); err != nil {
		t.Fatal(err)
	}
	if n := must(must(js.Stream(t.Context(), "S"))(t).Info(t.Context()))(t).State.Msgs; n != 4 {
		t.Errorf("%d messages stored, want a, the one named, and c on both topics", n)
	}
	if err := p.Close(); err != nil || !js.Conn().IsConnected() {
		t.Errorf("Close: %v, connected %v", err, js.Conn().IsConnected())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late := message.NewMessage("d", nil)
	late.SetContext(ended)
	if err := p.Publish("S.a", late); !errors.Is(err, context.Canceled) {
		t.Errorf("publishing with a context that has ended: %v", err)
	}
}

func TestAHandlerMayTakeLongerThanAckWait(t *testing.T) {
	t.Parallel()
	const ackWait = 300 * time.Millisecond
	js := startJetStream(t)
	createStream(t, js, "S")
	publish(t, js, "S.a", "slow")
	// The second process would get the message if the first sent no heartbeats.
	first := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumerOf(ackWait)}), "S.a")
	second := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: consumerOf(ackWait)}), "S.a")
	var m *message.Message
	other := second
	select {
	case m = <-first:
	case m = <-second:
		other = first
	}
	select {
	case <-other:
		t.Fatal("the message was delivered to another process while its handler ran")
	case <-time.After(4 * ackWait):
	}
	m.Ack()
	eventually(t, "the message is acknowledged", func() bool {
		info := consumerInfo(t, js, "S_a")
		return info.AckFloor.Stream == 1 && info.NumRedelivered == 0
	})
}

func TestNackDelays(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	publish(t, js, "S.a", "")
	const step = 150 * time.Millisecond
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, NakDelay: func(d bus.Delivery, m *message.Message) time.Duration {
		if m.UUID != "S/1" {
			t.Errorf("NakDelay got the message %s", m.UUID)
		}
		return time.Duration(d.NumDelivered) * step
	}}), "S.a")
	m := receive(t, messages)
	for n := 1; n <= 3; n++ {
		nacked := time.Now()
		m.Nack()
		m = receive(t, messages)
		if waited := time.Since(nacked); waited < time.Duration(n)*step {
			t.Errorf("delivery %d came after %v, want at least %v", n+1, waited, time.Duration(n)*step)
		}
		if got := delivery(t, m).NumDelivered; got != uint64(n+1) {
			t.Errorf("delivery %d says that it is number %d", n+1, got)
		}
	}
	m.Ack()
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for delivered, want := range map[uint64]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1 << 40: time.Minute,
	} {
		for range 100 {
			if got := bus.Backoff(bus.Delivery{NumDelivered: delivered}, nil); got < want*3/4 || got > want*5/4 {
				t.Fatalf("after delivery %d: %v, want about %v", delivered, got, want)
			}
		}
	}
}

// Two processes share every partition while their handlers fail at random: each key's commands must
// take effect in the order published, each at least once.
func TestOrderPerKeyWithTwoReplicas(t *testing.T) {
	t.Parallel()
	const partitions, keys, perKey = 8, 40, 25
	server := startServer(t)
	js := server.connect(t)
	if err := topology.Ensure(t.Context(), js, topology.Config{Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	for n := range perKey {
		for k := range keys {
			publish(t, js, topology.CommandSubject("contoso", event.DomainMailbox, fmt.Sprintf("key.%d", k)), fmt.Sprint(n))
		}
	}

	var mu sync.Mutex
	next := map[string]int{}     // by key: the first command that has not taken effect
	working := map[string]bool{} // by key: a handler runs
	replicas := map[int]int{}
	done := 0
	for replica := range 2 {
		s := newSubscriber(t, bus.SubscriberConfig{
			JS: server.connect(t), Consumer: bus.Topics, RebalanceInterval: 30 * time.Millisecond,
			NakDelay: func(bus.Delivery, *message.Message) time.Duration { return time.Millisecond },
		})
		for p := range partitions {
			messages := subscribe(t, s, topology.CommandFilter(event.DomainMailbox, 0, p))
			go func() {
				for m := range messages {
					d, _ := bus.DeliveryFrom(m.Context())
					address, _ := topology.ParseCommandSubject(d.Subject)
					mu.Lock()
					if working[address.Key] {
						t.Errorf("two handlers run for %s", address.Key)
					}
					working[address.Key] = true
					mu.Unlock()

					time.Sleep(rand.N(time.Millisecond)) // the vendor

					mu.Lock()
					working[address.Key] = false
					if rand.IntN(5) == 0 {
						m.Nack()
					} else {
						if got, want := string(m.Payload), fmt.Sprint(next[address.Key]); got != want {
							t.Errorf("%s: command %s took effect, want %s", address.Key, got, want)
						}
						next[address.Key]++
						replicas[replica]++
						done++
						m.Ack()
					}
					mu.Unlock()
				}
			}()
		}
	}
	eventually(t, "every command has taken effect", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return done >= keys*perKey
	})
	mu.Lock()
	defer mu.Unlock()
	if done != keys*perKey || replicas[0] == 0 || replicas[1] == 0 {
		t.Errorf("%d took effect, want %d; by replica: %v", done, keys*perKey, replicas)
	}
}

func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	twice := nats.NewMsg("S.a")
	twice.Header = nats.Header{"ce-id": {"1", "2"}}
	publishMsg(t, js, twice)
	garbled := nats.NewMsg("S.a")
	garbled.Header = nats.Header{"ce-id": {"a\xffb"}}
	garbled.Data = []byte("data")
	publishMsg(t, js, garbled)
	// A stored message that looks like a status message of the server.
	status := nats.NewMsg("S.a")
	status.Header = nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}
	publishMsg(t, js, status)
	publish(t, js, "S.a", "good")

	type call struct {
		bus.Delivery
		reason string
	}
	calls := make(chan call, 10)
	var failures atomic.Int32
	s := newSubscriber(t, bus.SubscriberConfig{JS: js, Malformed: func(ctx context.Context, d bus.Delivery, reason error) error {
		calls <- call{d, reason.Error()}
		if failures.Add(1) == 1 {
			return errors.New("the dead-letter stream does not answer")
		}
		return ctx.Err()
	}})
	messages := subscribe(t, s, "S.a")

	if m := receive(t, messages); m.Metadata.Get("Status") != "409" {
		t.Errorf("got %v, want the message that looks like a status", m.Metadata)
	} else {
		m.Ack()
	}
	if m := receive(t, messages); string(m.Payload) != "good" {
		t.Errorf("got %q, want the good message", m.Payload)
	} else {
		m.Ack()
	}
	for _, want := range []struct {
		sequence, delivered uint64
		reason              string
	}{
		{1, 1, `header "ce-id" has 2 values, not one`},
		{1, 2, `header "ce-id" has 2 values, not one`}, // the first call failed
		{2, 1, `header "ce-id" is not valid UTF-8`},
	} {
		got := <-calls
		if got.Sequence != want.sequence || got.NumDelivered != want.delivered || got.reason != want.reason {
			t.Errorf("Malformed got %d, delivery %d, %q, want %+v", got.Sequence, got.NumDelivered, got.reason, want)
		}
		if got.Sequence == 2 && string(got.Data) != "data" {
			t.Errorf("Malformed got the data %q", got.Data)
		}
	}
	eventually(t, "all are acknowledged", func() bool { return consumerInfo(t, js, "S_a").AckFloor.Stream == 4 })
}

func TestMalformedMessagesAreRedeliveredWithoutAFunctionForThem(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	twice := nats.NewMsg("S.a")
	twice.Header = nats.Header{"ce-id": {"1", "2"}}
	publishMsg(t, js, twice)
	s := newSubscriber(t, bus.SubscriberConfig{JS: js})
	subscribe(t, s, "S.a")
	eventually(t, "it is delivered again", func() bool { return consumerInfo(t, js, "S_a").NumRedelivered == 1 })
}

func TestSubscribeReportsAMissingStreamOrTopic(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	s := newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: bus.Topics})
	if _, err := s.Subscribe(t.Context(), "unknown"); err == nil {
		t.Error("a topic without a consumer was accepted")
	}
	if _, err := s.Subscribe(t.Context(), topology.CommandFilter(event.DomainMailbox, 0, 0)); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a missing stream: %v", err)
	}
}
