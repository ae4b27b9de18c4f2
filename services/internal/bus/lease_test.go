package bus_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// isolated connects through a proxy, which the test can cut.
func (s *testServer) isolated(tb testing.TB) (*embedded.Proxy, jetstream.JetStream) {
	tb.Helper()
	proxy := must(embedded.StartProxy(must(url.Parse(s.url()))(tb).Host))(tb)
	tb.Cleanup(proxy.Close)
	nc := must(bus.Connect(tb.Context(), "nats://"+proxy.Addr(), tb.Name(), quiet))(tb)
	tb.Cleanup(nc.Close)
	return proxy, must(jetstream.New(nc))(tb)
}

// TestConfirmedHeartbeatsRenewALease of each pending message. Without them it is lost before
// another process gets the message.
func TestConfirmedHeartbeatsRenewALease(t *testing.T) {
	t.Parallel()
	const ackWait = 3 * time.Second
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	proxy, cut := server.isolated(t)
	mine := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: cut, Consumer: pinnedOf(ackWait), CloseTimeout: time.Second}), "S.>")
	publish(t, js, "S.a", "a")
	publish(t, js, "S.b", "b")
	deliveries := map[string]bus.Delivery{}
	for range 2 {
		m := receive(t, mine)
		deliveries[string(m.Payload)] = delivery(t, m)
	}
	for began := time.Now(); time.Since(began) < 2*ackWait; time.Sleep(50 * time.Millisecond) {
		for name, d := range deliveries {
			if err := d.Lease().Err(); err != nil {
				t.Fatalf("%s after %v: %v", name, time.Since(began), err)
			}
		}
	}
	theirs := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: server.connect(t), Consumer: pinnedOf(ackWait)}), "S.>")
	proxy.Cut()
	for range 2 {
		m := receive(t, theirs)
		if d := deliveries[string(m.Payload)]; d.Lease().Left() > 0 || d.Lease().Err() == nil {
			t.Errorf("%s was delivered to another process while its lease is valid for %v", m.Payload, d.Lease().Left())
		}
		if err := delivery(t, m).Lease().Err(); err != nil {
			t.Errorf("%s: its new lease: %v", m.Payload, err)
		}
		m.Ack()
	}
	proxy.Heal() // delivers the confirmations that were delayed
	if d := deliveries["a"]; d.Lease().Err() == nil {
		t.Error("the lease is valid again")
	}
}

// TestALeaseEndsWhenTheServerRestarts: a restarted server may have forgotten its deliveries.
func TestALeaseEndsWhenTheServerRestarts(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	js := server.connect(t)
	createStream(t, js, "S")
	messages := subscribe(t, newSubscriber(t, bus.SubscriberConfig{JS: js, Consumer: pinnedOf(time.Minute), CloseTimeout: time.Second}), "S.a")
	publish(t, js, "S.a", "1")
	l := delivery(t, receive(t, messages)).Lease()
	if l.Err() != nil {
		t.Fatal("the lease is lost from the start")
	}
	server.restart()
	eventually(t, "the lease is lost", func() bool { return l.Err() != nil })
	if l.Left() <= 0 {
		t.Error("the calls under way are ended")
	}
}
