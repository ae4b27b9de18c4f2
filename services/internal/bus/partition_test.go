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
	"github.com/mailwright/mailwright/services/internal/bus"
)

// pinned gives a consumer to one subscriber at a time.
func pinned(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	like := bus.CommandConsumer(event.DomainMailbox, 0)
	c.MaxAckPending, c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = like.MaxAckPending, like.PriorityPolicy, like.PriorityGroups, c.AckWait
	return c
}

func pinnedOf(ackWait time.Duration) func(string) (string, jetstream.ConsumerConfig) {
	return func(topic string) (string, jetstream.ConsumerConfig) {
		stream, c := consumerOf(ackWait)(topic)
		return stream, pinned(c)
	}
}

// unpin is what an operator may do at any time, or the server when it restarts.
func unpin(tb testing.TB, js jetstream.JetStream, consumer string) {
	tb.Helper()
	if err := must(js.Stream(tb.Context(), "S"))(tb).UnpinConsumer(tb.Context(), consumer, "owner"); err != nil {
		tb.Fatal(err)
	}
}

// none fails if a message comes before something else has: a bounded look, since nothing can be
// waited for.
func none(tb testing.TB, messages <-chan *message.Message, why string) {
	tb.Helper()
	select {
	case m := <-messages:
		tb.Fatalf("%s: got %s", why, m.Payload)
	case <-time.After(300 * time.Millisecond):
	}
}

func TestSubjectsSideBySide(t *testing.T) {
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
		t.Fatalf("handed out side by side: %v", first)
	}
	none(t, messages, "each subject has one at work")
	first["S.a 0"].Ack()
	if m := receive(t, messages); string(m.Payload) != "S.a 1" {
		t.Errorf("after S.a 0 came %s", m.Payload)
	}
	first["S.b 0"].Nack() // it comes back, and what is behind it waits for it
	if m := receive(t, messages); string(m.Payload) != "S.b 0" {
		t.Errorf("after S.b 0 was nacked came %s", m.Payload)
	}
}

// TestNothingIsHandedOutWhileAnotherIsAtWork: the consumer is given to a second replica while the
// first has not settled what it got.
func TestNothingIsHandedOutWhileAnotherIsAtWork(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	// The pin lasts as long as the first asks for it; it asks every third of that.
	first := newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(3 * time.Second)})
	mine := subscribe(t, first, "S.a")
	publish(t, js, "S.a", "1")
	atWork := receive(t, mine)

	theirs := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(3 * time.Second)}), "S.a")
	eventually(t, "the second waits", func() bool { return consumerInfo(t, js, "S_a").NumWaiting == 2 })
	unpin(t, js, "S_a")
	publish(t, js, "S.a", "2")
	eventually(t, "2 is out", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == 2 })
	select {
	case m := <-mine:
		t.Fatalf("%s was handed out", m.Payload)
	case m := <-theirs:
		t.Fatalf("%s was handed out", m.Payload)
	// longer than AckWait: the first one is alive, and keeps its message
	case <-time.After(4 * time.Second):
	}
	atWork.Ack()
	select {
	case m := <-theirs:
		if string(m.Payload) != "2" {
			t.Errorf("got %s", m.Payload)
		}
		m.Ack()
	case m := <-mine: // the pin may have come back
		if string(m.Payload) != "2" {
			t.Errorf("got %s", m.Payload)
		}
		m.Ack()
	case <-time.After(5 * time.Second):
		t.Fatal("nobody got 2")
	}
}

// TestAReplicaThatStopsHandsOver at once, and in order.
func TestAReplicaThatStopsHandsOver(t *testing.T) {
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
	atWork := receive(t, mine)
	closed := make(chan error, 1)
	go func() { closed <- first.Close() }()
	none(t, theirs, "the first is still at work")
	atWork.Ack()
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

// TestAReplicaThatDiesIsReplaced once the server has not heard of it for AckWait, and what it had
// comes first, however large. There was no more of that than fits.
func TestAReplicaThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	const n = 12
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", n, make([]byte, 900_000))
	doomed := server.connect(t)
	receive(t, subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: doomed, Consumer: pinnedOf(2 * time.Second), CloseTimeout: time.Second}), "S.a"))
	theirs := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(2 * time.Second)}), "S.a")
	eventually(t, "the first has what fits", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit })
	doomed.Conn().Close()
	for want := uint64(1); want <= n; want++ {
		m := receive(t, theirs)
		if got := delivery(t, m).Sequence; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		m.Ack()
	}
}

// largeThatFit is how many messages of 900,000 bytes an owner asks for.
const largeThatFit = 4

// TestLargeMessages: an owner that is slow gets no more than fits, and keeps the consumer all the
// same.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	const n, pinnedTTL = 12, 3 * time.Second
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", n, make([]byte, 900_000))
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(pinnedTTL)}), "S.a")
	atWork := receive(t, messages)
	others := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(pinnedTTL)}), "S.a")
	eventually(t, "what fits is out", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit })
	pin := pinOf(t, js, "S_a")
	select {
	case m := <-others:
		t.Fatalf("message %d went to another", delivery(t, m).Sequence)
	case <-time.After(2 * pinnedTTL):
	}
	if out := consumerInfo(t, js, "S_a").NumAckPending; out != largeThatFit {
		t.Errorf("%d are out, want %d", out, largeThatFit)
	}
	atWork.Ack()
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

// TestALargeMessageComesBack although others have taken its room.
func TestALargeMessageComesBack(t *testing.T) {
	t.Parallel()
	const n = 8
	js := startJetStream(t)
	createStream(t, js, "S")
	publishMany(t, js, "S.a", n, make([]byte, 900_000))
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(3 * time.Second), NakDelay: func(bus.Delivery, *message.Message) time.Duration {
		// long enough for another to take its room before, on a busy machine too
		return 4 * time.Second
	}}), "S.a")
	first := receive(t, messages)
	eventually(t, "what fits is out", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit })
	first.Nack()
	eventually(t, "another has its room", func() bool { return consumerInfo(t, js, "S_a").NumAckPending == largeThatFit+1 })
	for want := uint64(1); want <= n; want++ {
		m := receive(t, messages)
		if got := delivery(t, m).Sequence; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
		m.Ack()
	}
}

// TestMessagesLargerThanAllThatFits come one after another.
func TestMessagesLargerThanAllThatFits(t *testing.T) {
	t.Parallel()
	const n, size = 3, 5 << 20
	own, err := natsserver.NewServer(&natsserver.Options{Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 2 * size, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	own.Start()
	t.Cleanup(func() { own.Shutdown(); own.WaitForShutdown() })
	nc := must(bus.Connect(t.Context(), own.ClientURL(), t.Name(), quiet))(t)
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
		if out := consumerInfo(t, js, "S_a").NumAckPending; out != 1 && want < n {
			t.Errorf("%d are out, want one", out)
		}
		m.Ack()
	}
}

// pinOf is the server's name for the present ownership.
func pinOf(tb testing.TB, js jetstream.JetStream, consumer string) string {
	tb.Helper()
	return consumerInfo(tb, js, consumer).PriorityGroups[0].PinnedClientID
}

// TestAReplicaThatLosesThePinGivesAllBack at once: what it nacked with a delay too, else the next
// would wait for its proof.
func TestAReplicaThatLosesThePinGivesAllBack(t *testing.T) {
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
	eventually(t, "the second waits, and a2 is out", func() bool {
		info := consumerInfo(t, js, "S_all")
		return info.NumWaiting == 2 && info.NumAckPending == 2
	})
	a1.Nack()
	unpin(t, js, "S_all")
	publish(t, js, "S.b", "b1") // the first hears of it with the next message
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
		t.Errorf("the first gave back what was not its own any longer: %q, then %q", pin, now)
	}
}

// TestWhatNeverComesBackHoldsNothingUp: it was taken out of the stream meanwhile.
func TestWhatNeverComesBackHoldsNothingUp(t *testing.T) {
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

// TestALostConnectionGivesTheConsumerBack to whoever is there, instead of after PinnedTTL.
func TestALostConnectionGivesTheConsumerBack(t *testing.T) {
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
	// What the server sends into the connection that ends comes back after AckWait, which is no
	// matter of who owns the consumer.
	eventually(t, "connected again", func() bool { return doomed.Conn().Stats().Reconnects > before && doomed.Conn().Flush() == nil })
	publish(t, js, "S.a", "2")
	select {
	case m := <-theirs:
		m.Ack()
	case m := <-mine:
		m.Ack()
	case <-time.After(20 * time.Second):
		t.Error("nobody owns the consumer")
	}
}

// TestTheProofCountsOnlyWhatIsOut: what should come back has been taken out of the stream, and
// another has a message.
func TestTheProofCountsOnlyWhatIsOut(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(time.Minute), NakDelay: func(bus.Delivery, *message.Message) time.Duration {
		return time.Minute
	}}), "S.>")
	publish(t, js, "S.gone", "")
	receive(t, messages).Nack()
	if err := must(js.Stream(t.Context(), "S"))(t).DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not out any longer", func() bool { return consumerInfo(t, js, "S_all").NumAckPending == 0 })

	inbox := must(js.Conn().SubscribeSync(js.Conn().NewInbox()))(t)
	request := fmt.Sprintf(`{"batch": 1, "expires": %d, "group": "owner", "id": %q}`, time.Minute, pinOf(t, js, "S_all"))
	if err := js.Conn().PublishRequest("$JS.API.CONSUMER.MSG.NEXT.S.S_all", inbox.Subject, []byte(request)); err != nil {
		t.Fatal(err)
	}
	var theirs *nats.Msg
	for i := 0; ; i++ { // the server serves one request after the other
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
	for { // what was on its way
		select {
		case m := <-messages:
			if string(m.Payload) == "the next" {
				t.Fatal("the next was handed out while another is at work on its subject")
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

// TestOrderThroughRestarts: two replicas take turns while the server restarts: each key's messages
// take effect in the order published.
func TestOrderThroughRestarts(t *testing.T) {
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
						t.Errorf("two at work on %s", d.Subject)
					}
					working[d.Subject] = true
					if n > highest[d.Subject]+1 {
						t.Errorf("%s: %d took effect after %d", d.Subject, n, highest[d.Subject])
					}
					// else a repetition: its acknowledgement was lost
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

// TestWhatOutlivedItsServerIsAskedForAgain: a restarted server may have sent the message once more,
// or to another; an acknowledgement that crosses that delivery would leave the receiver with a
// message that the server does not count any longer.
func TestWhatOutlivedItsServerIsAskedForAgain(t *testing.T) {
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
	eventually(t, "all is settled", func() bool {
		info := consumerInfo(t, js, "S_a")
		return info.NumAckPending == 0 && info.AckFloor.Stream == 2
	})
}
