package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// pinned returns a consumer with the pinned client of a partition.
func pinned(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	like := bus.CommandConsumer(event.DomainMailbox, 0, 0)
	c.MaxAckPending = like.MaxAckPending
	c.PriorityPolicy = like.PriorityPolicy
	c.PriorityGroups = like.PriorityGroups
	c.PinnedTTL = c.AckWait
	return c
}

func pinnedOf(ackWait time.Duration) func(string) (string, jetstream.ConsumerConfig) {
	return func(topic string) (string, jetstream.ConsumerConfig) {
		stream, c := consumerOf(ackWait)(topic)
		return stream, pinned(c)
	}
}

// unpin removes the pin of a consumer, as an operator or a restarting server does.
func unpin(tb testing.TB, js jetstream.JetStream, consumer string) {
	tb.Helper()
	if err := must(js.Stream(tb.Context(), "S"))(tb).UnpinConsumer(tb.Context(), consumer, "owner"); err != nil {
		tb.Fatal(err)
	}
}

// none fails if a message comes within a short time.
func none(tb testing.TB, messages <-chan *message.Message, why string) {
	tb.Helper()
	select {
	case m := <-messages:
		tb.Fatalf("%s: got %s", why, m.Payload)
	case <-time.After(300 * time.Millisecond):
	}
}

func TestSubjectsAreHandledAtTheSameTimeAndEachInOrder(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	for i := range 2 {
		for _, subject := range []string{"S.a", "S.b", "S.c"} {
			publish(t, js, subject, fmt.Sprint(subject, " ", i))
		}
	}
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{
		JS: js, Consumer: pinnedOf(10 * time.Second), CloseTimeout: time.Second,
		NakDelay: func(bus.Delivery, *message.Message) time.Duration { return 200 * time.Millisecond },
	}), "S.>")
	first := map[string]*message.Message{}
	for range 3 {
		m := receive(t, messages)
		first[string(m.Payload)] = m
	}
	if len(first) != 3 || first["S.a 0"] == nil || first["S.b 0"] == nil || first["S.c 0"] == nil {
		t.Fatalf("handled at the same time: %v", first)
	}
	none(t, messages, "each subject has a running handler")
	first["S.a 0"].Ack()
	if m := receive(t, messages); string(m.Payload) != "S.a 1" {
		t.Errorf("after S.a 0 came %s", m.Payload)
	}
	first["S.b 0"].Nack() // it is redelivered, and the next one waits for it
	if m := receive(t, messages); string(m.Payload) != "S.b 0" {
		t.Errorf("after S.b 0 was nacked came %s", m.Payload)
	}
}

// TestNoMessageStartsWhileAnotherProcessHandlesOne: a second process gets the pin while the first
// has an unacknowledged message.
func TestNoMessageStartsWhileAnotherProcessHandlesOne(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	first := newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(3 * time.Second)})
	mine := subscribe(t, first, "S.a")
	publish(t, js, "S.a", "1")
	running := receive(t, mine)

	theirs := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(3 * time.Second)}), "S.a")
	eventually(t, "the second waits", func() bool { return consumerInfo(t, js, "S_a").NumWaiting == 2 })
	unpin(t, js, "S_a")
	publish(t, js, "S.a", "2")
	eventually(t, "2 is unacknowledged", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == 2 })
	select {
	case m := <-mine:
		t.Fatalf("%s was started", m.Payload)
	case m := <-theirs:
		t.Fatalf("%s was started", m.Payload)
	// longer than AckWait: the heartbeats of the first keep its message
	case <-time.After(4 * time.Second):
	}
	running.Ack()
	select {
	case m := <-theirs:
		if string(m.Payload) != "2" {
			t.Errorf("got %s", m.Payload)
		}
		m.Ack()
	case m := <-mine: // it may have the pin again
		if string(m.Payload) != "2" {
			t.Errorf("got %s", m.Payload)
		}
		m.Ack()
	case <-time.After(5 * time.Second):
		t.Fatal("nobody got 2")
	}
}

// TestAStoppedProcessReleasesItsPartition: the next one continues at once, and in order.
func TestAStoppedProcessReleasesItsPartition(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	const n = 30
	publishMany(t, js, "S.a", n, nil)
	first := newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(time.Minute)})
	mine := subscribe(t, first, "S.a")
	receive(t, mine).Ack()
	theirs := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(time.Minute)}), "S.a")
	running := receive(t, mine)
	closed := make(chan error, 1)
	go func() { closed <- first.Close() }()
	none(t, theirs, "a handler of the first still runs")
	running.Ack()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for want := uint64(3); want <= n; want++ {
		m := receive(t, theirs)
		if got := delivery(t, m).Sequence; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		m.Ack()
	}
}

// TestAKilledProcessIsReplaced after AckWait. The next one starts with the messages of the first,
// however large. The first had no more than maxPendingBytes of them.
func TestAKilledProcessIsReplaced(t *testing.T) {
	t.Parallel()
	const n = 12
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", n, make([]byte, 900_000))
	doomed := server.connect(t)
	receive(t, subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: doomed, Consumer: pinnedOf(2 * time.Second), CloseTimeout: time.Second}), "S.a"))
	theirs := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(2 * time.Second)}), "S.a")
	eventually(t, "the first has as many as fit", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit })
	doomed.Conn().Close()
	for want := uint64(1); want <= n; want++ {
		m := receive(t, theirs)
		if got := delivery(t, m).Sequence; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		m.Ack()
	}
}

// largeThatFit is how many messages of 900,000 bytes are within maxPendingBytes.
const largeThatFit = 4

// TestASlowProcessKeepsThePartitionOfLargeMessages: it gets no more than maxPendingBytes, and goes
// on renewing its pin.
func TestASlowProcessKeepsThePartitionOfLargeMessages(t *testing.T) {
	t.Parallel()
	const n, pinnedTTL = 12, 3 * time.Second
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", n, make([]byte, 900_000))
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(pinnedTTL)}), "S.a")
	running := receive(t, messages)
	others := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(pinnedTTL)}), "S.a")
	eventually(t, "as many as fit are unacknowledged", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit })
	pin := pinOf(t, js, "S_a")
	select {
	case m := <-others:
		t.Fatalf("message %d went to another process", delivery(t, m).Sequence)
	case <-time.After(2 * pinnedTTL):
	}
	if n := consumerInfo(t, js, "S_a").NumAckPending; n != largeThatFit {
		t.Errorf("%d are unacknowledged, want %d", n, largeThatFit)
	}
	running.Ack()
	for want := uint64(2); want <= n; want++ {
		m := receive(t, messages)
		if d := delivery(t, m); d.Sequence != want || d.NumDelivered != 1 {
			t.Fatalf("got %d, delivered %d times, want %d, once", d.Sequence, d.NumDelivered, want)
		}
		m.Ack()
	}
	if now := pinOf(t, js, "S_a"); now != pin {
		t.Errorf("the pin was lost: %s, then %s", pin, now)
	}
}

// TestALargeMessageIsRedeliveredAlthoughItsRoomIsTaken: while it is nacked, others fill
// maxPendingBytes.
func TestALargeMessageIsRedeliveredAlthoughItsRoomIsTaken(t *testing.T) {
	t.Parallel()
	const n = 8
	js := startJetStream(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", n, make([]byte, 900_000))
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(3 * time.Second), NakDelay: func(bus.Delivery, *message.Message) time.Duration {
		// long enough for another message to take its room before, on a busy machine too
		return 4 * time.Second
	}}), "S.a")
	first := receive(t, messages)
	eventually(t, "as many as fit are unacknowledged", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit })
	first.Nack()
	eventually(t, "another message has its room", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit+1 })
	for want := uint64(1); want <= n; want++ {
		m := receive(t, messages)
		if got := delivery(t, m).Sequence; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		m.Ack()
	}
}

func TestMessagesLargerThanTheLimitComeOneAfterAnother(t *testing.T) {
	t.Parallel()
	const n, size = 3, 5 << 20
	own := must(embedded.StartServer(&natsserver.Options{Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 2 * size}))(t)
	t.Cleanup(own.Shutdown)
	nc := must(bus.Connect(t.Context(), own.URL(), t.Name(), quiet))(t)
	t.Cleanup(nc.Close)
	js := must(jetstream.New(nc))(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", n, make([]byte, size))
	publish(t, js, "S.a", "small")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(3 * time.Second)}), "S.a")
	for want := uint64(1); want <= n+1; want++ {
		m := receive(t, messages)
		if got := delivery(t, m).Sequence; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		if pending := consumerInfo(t, js, "S_a").NumAckPending; pending != 1 && want < n {
			t.Errorf("%d are unacknowledged, want one", pending)
		}
		m.Ack()
	}
}

// pinOf returns a consumer's pin.
func pinOf(tb testing.TB, js jetstream.JetStream, consumer string) string {
	tb.Helper()
	return consumerInfo(tb, js, consumer).PriorityGroups[0].PinnedClientID
}

// TestAProcessThatLosesThePinReturnsItsMessages at once, also those that it nacked with a delay:
// the next one starts nothing until it has them all.
func TestAProcessThatLosesThePinReturnsItsMessages(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	replica := func() (*bus.Subscriber, <-chan *message.Message) {
		s := newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(time.Minute), NakDelay: func(bus.Delivery, *message.Message) time.Duration {
			return time.Minute
		}})
		return s, subscribe(t, s, "S.>")
	}
	first, mine := replica()
	publish(t, js, "S.a", "a1")
	publish(t, js, "S.a", "a2")
	a1 := receive(t, mine)
	_, theirs := replica()
	eventually(t, "the second waits, and a2 is unacknowledged", func() bool {
		info := consumerInfo(t, js, "S_all")
		return info.NumWaiting == 2 && info.NumAckPending == 2
	})
	a1.Nack()
	unpin(t, js, "S_all")
	publish(t, js, "S.b", "b1") // with the next message the first learns that it lost the pin
	got := map[string]bool{}
	for range 3 {
		m := receive(t, theirs)
		if got[string(m.Payload)] = true; got["a2"] && !got["a1"] {
			t.Error("a2 came before a1")
		}
		m.Ack()
	}
	if !got["a1"] || !got["a2"] || !got["b1"] {
		t.Errorf("the second got %v", got)
	}

	pin := pinOf(t, js, "S_all")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if now := pinOf(t, js, "S_all"); now != pin {
		t.Errorf("the first unpinned the second: %q, then %q", pin, now)
	}
}

// TestADeletedMessageDoesNotBlockItsKey: a nacked message is deleted from the stream before its
// redelivery.
func TestADeletedMessageDoesNotBlockItsKey(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	publish(t, js, "S.a", "1")
	publish(t, js, "S.a", "2")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(2 * time.Second), NakDelay: func(bus.Delivery, *message.Message) time.Duration {
		return time.Second
	}}), "S.a")
	receive(t, messages).Nack()
	if err := must(js.Stream(t.Context(), "S"))(t).DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	m := receive(t, messages)
	if string(m.Payload) != "2" {
		t.Errorf("got %s", m.Payload)
	}
	m.Ack()
}

// TestALostConnectionReleasesThePartition after the reconnect, and does not wait for PinnedTTL.
func TestALostConnectionReleasesThePartition(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js, doomed := server.connect(t), server.connect(t)
	createStream(t, js, "S")
	mine := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: doomed, Consumer: pinnedOf(time.Minute)}), "S.a")
	publish(t, js, "S.a", "1")
	receive(t, mine).Ack()
	theirs := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(time.Minute)}), "S.a")
	before := doomed.Conn().Stats().Reconnects
	if err := doomed.Conn().ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	// A message that the server sends into the lost connection is redelivered after AckWait. This
	// test is about the pin.
	eventually(t, "connected again", func() bool { return doomed.Conn().Stats().Reconnects > before && doomed.Conn().Flush() == nil })
	publish(t, js, "S.a", "2")
	select {
	case m := <-theirs:
		m.Ack()
	case m := <-mine:
		m.Ack()
	case <-time.After(20 * time.Second):
		t.Error("no process has the partition")
	}
}

// TestANackedAndDeletedMessageDoesNotOpenTheFence: it must not count in place of a message that
// another process has.
func TestANackedAndDeletedMessageDoesNotOpenTheFence(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(time.Minute), NakDelay: func(bus.Delivery, *message.Message) time.Duration {
		return time.Minute
	}}), "S.>")
	publish(t, js, "S.deleted", "")
	receive(t, messages).Nack()
	if err := must(js.Stream(t.Context(), "S"))(t).DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not counted any longer", func() bool { return consumerInfo(t, js, "S_all").NumAckPending == 0 })

	inbox := must(js.Conn().SubscribeSync(js.Conn().NewInbox()))(t)
	request := fmt.Sprintf(`{"batch": 1, "expires": %d, "group": "owner", "id": %q}`, time.Minute, pinOf(t, js, "S_all"))
	if err := js.Conn().PublishRequest("$JS.API.CONSUMER.MSG.NEXT.S.S_all", inbox.Subject, []byte(request)); err != nil {
		t.Fatal(err)
	}
	var theirs *nats.Msg
	for i := 0; ; i++ { // the server serves the requests alternately
		publish(t, js, fmt.Sprint("S.", i), "")
		if pending, _, _ := inbox.Pending(); pending > 0 {
			theirs = must(inbox.NextMsg(time.Second))(t)
			break
		}
		select {
		case m := <-messages:
			m.Ack()
		case <-time.After(100 * time.Millisecond):
		}
	}
	publish(t, js, theirs.Subject, "the next")
	for { // messages that were delivered before
		select {
		case m := <-messages:
			if string(m.Payload) == "the next" {
				t.Fatal("the next was started while another process has one of its subject")
			}
			m.Ack()
			continue
		case <-time.After(500 * time.Millisecond):
		}
		break
	}
	if err := theirs.Ack(); err != nil {
		t.Fatal(err)
	}
	m := receive(t, messages)
	if string(m.Payload) != "the next" {
		t.Errorf("got %q from %s", m.Payload, delivery(t, m).Subject)
	}
	m.Ack()
}

// TestOrderPerKeyThroughServerRestarts: two processes alternate while the server restarts. Each
// key's messages take effect in the order published.
func TestOrderPerKeyThroughServerRestarts(t *testing.T) {
	t.Parallel()
	const keys, each = 20, 100
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	var mu sync.Mutex
	highest, working, done := map[string]int{}, map[string]bool{}, 0
	for range 2 {
		messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{
			JS: server.connect(t), Consumer: pinnedOf(time.Second), RebalanceInterval: 50 * time.Millisecond, NakDelay: func(bus.Delivery, *message.Message) time.Duration { return time.Millisecond },
		}), "S.>")
		go func() {
			for m := range messages {
				go func() {
					d, _ := bus.DeliveryFrom(m.Context())
					var n int
					_, _ = fmt.Sscan(string(m.Payload), &n)
					mu.Lock()
					if working[d.Subject] {
						t.Errorf("two handlers run for %s", d.Subject)
					}
					working[d.Subject] = true
					if n > highest[d.Subject]+1 {
						t.Errorf("%s: %d took effect after %d", d.Subject, n, highest[d.Subject])
					}
					// else it is redelivered, because its acknowledgement was lost
					if n == highest[d.Subject]+1 {
						highest[d.Subject] = n
						done++
					}
					mu.Unlock()
					time.Sleep(time.Millisecond) // the vendor
					mu.Lock()
					working[d.Subject] = false
					mu.Unlock()
					m.Ack()
				}()
			}
		}()
	}
	for n := range each {
		for k := range keys {
			m := &nats.Msg{Subject: fmt.Sprint("S.", k), Data: []byte(fmt.Sprint(n + 1))}
			eventually(t, "published", func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(fmt.Sprint(k, "-", n)))
				return err == nil
			})
		}
		if n == each/3 || n == each*2/3 {
			server.restart()
		}
	}
	eventually(t, "all have taken effect", func() bool { mu.Lock(); defer mu.Unlock(); return done == keys*each })
}

// TestAnAckAfterAReconnectIsSentAsANak: a restarted server may have redelivered the message. An ack
// would lower NumAckPending although another process has a copy.
func TestAnAckAfterAReconnectIsSentAsANak(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(3 * time.Second)}), "S.a")
	publish(t, js, "S.a", "1")
	publish(t, js, "S.a", "2")
	m := receive(t, messages)
	before := js.Conn().Stats().Reconnects
	server.restart()
	eventually(t, "connected again", func() bool { return js.Conn().Stats().Reconnects > before && js.Conn().IsConnected() })
	m.Ack()
	for _, want := range []string{"1", "2"} {
		if m = receive(t, messages); string(m.Payload) != want {
			t.Errorf("got %s, not %s", m.Payload, want)
		}
		m.Ack()
	}
	eventually(t, "all is acknowledged", func() bool {
		info := consumerInfo(t, js, "S_a")
		return info.NumAckPending == 0 && info.AckFloor.Stream == 2
	})
}
