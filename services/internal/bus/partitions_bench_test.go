package bus_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// BenchmarkPartitions compares three ways to keep the order of each key. "owner" is the way of the
// services: a process owns a partition and handles many keys of it at the same time. "one-pending"
// is the simplest one: MaxAckPending 1, any process, and more partitions. "head" lets any process
// receive any message, and a handler waits until its message is the oldest one stored of its key:
// see [headGuard].
//
// It reports:
//   - msg/s: 4,000 commands of 1,000 keys, with handlers that take 1 ms;
//   - slow-s: the seconds until all commands of the other keys are handled while 20 commands of one
//     key take 200 ms each;
//   - takeover-s: two processes run, and one is lost when a fifth of 4,000 stored commands is
//     handled. The seconds from then until the other one has handled the rest. AckWait and
//     PinnedTTL are 3 s;
//   - most-s: the seconds of the same, until it has handled nine tenths of the rest.
func BenchmarkPartitions(b *testing.B) {
	for _, way := range []struct {
		order      order
		partitions int
	}{
		{byOwner, topology.DefaultPartitions},
		{byHead, topology.DefaultPartitions},
		{byOnePending, 64},
		{byOnePending, 128},
		{byOnePending, 256},
	} {
		b.Run(fmt.Sprint(way.order, "/", way.partitions), func(b *testing.B) {
			for b.Loop() {
				e := newPartitionEnv(b, way.partitions, way.order)
				b.ReportMetric(e.rate(b), "msg/s")
				e = newPartitionEnv(b, way.partitions, way.order)
				b.ReportMetric(e.slowKey(b), "slow-s")
				e = newPartitionEnv(b, way.partitions, way.order)
				most, all := e.takeover(b)
				b.ReportMetric(most, "most-s")
				b.ReportMetric(all, "takeover-s")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// order is a way to keep the order of each key.
type order string

const (
	byOwner      order = "owner"
	byHead       order = "head"
	byOnePending order = "one-pending"
)

// partitionEnv is a server with the streams of so many partitions.
type partitionEnv struct {
	server     *testServer
	js         jetstream.JetStream
	partitions int
	order      order

	gate    chan struct{} // closed when handlers may begin: after all partitions are subscribed
	mu      sync.Mutex
	handled map[uint64]bool // by sequence
}

func newPartitionEnv(b *testing.B, partitions int, by order) *partitionEnv {
	server := startServer(b)
	e := &partitionEnv{server: server, js: server.connect(b), partitions: partitions, order: by, gate: make(chan struct{}), handled: map[uint64]bool{}}
	if by == byHead {
		createWorkQueue(b, e.js, partitions)
		return e
	}
	if err := topology.Ensure(b.Context(), e.js, topology.Config{Partitions: partitions}); err != nil {
		b.Fatal(err)
	}
	return e
}

func (e *partitionEnv) publish(b *testing.B, key string, n int) {
	publishMany(b, e.js, topology.CommandSubject("contoso", event.DomainMailbox, key), n, make([]byte, 500))
}

// start is a process that handles all partitions. work is what a handler does with a message.
func (e *partitionEnv) start(b *testing.B, js jetstream.JetStream, work func(key string)) {
	guard := newHeadGuard(b, e, js)
	s := newSubscriber(b, bus.SubscriberConfig{JS: js, Parallel: guard.parallel(), NakDelay: guard.nakDelay, CloseTimeout: time.Second, Consumer: func(topic string) (string, jetstream.ConsumerConfig) {
		stream, c := bus.Topics(topic)
		c.AckWait = 3 * time.Second
		c.PinnedTTL = c.AckWait
		if e.order == byOnePending {
			c.MaxAckPending = 1
		}
		if e.order != byOwner {
			c.PriorityPolicy = jetstream.PriorityPolicyNone
			c.PriorityGroups = nil
			c.PinnedTTL = 0
		}
		return stream, c
	}})
	for p := range e.partitions {
		messages := subscribe(b, s, topology.CommandFilter(event.DomainMailbox, 0, p))
		go func() {
			for m := range messages {
				go e.handle(m, guard, work)
			}
		}()
	}
}

func (e *partitionEnv) handle(m *message.Message, guard *headGuard, work func(key string)) {
	d, _ := bus.DeliveryFrom(m.Context())
	address, _ := topology.ParseCommandSubject(d.Subject)
	<-e.gate
	if !guard.await(m.Context(), d) {
		m.Nack()
		return
	}
	work(address.Key)
	e.mu.Lock()
	e.handled[d.Sequence] = true
	e.mu.Unlock()
	m.Ack()
	guard.done(d)
}

// seconds waits until n messages are handled.
func (e *partitionEnv) seconds(b *testing.B, n int) float64 {
	start := time.Now()
	eventuallyWithin(b, time.Minute, fmt.Sprint(n, " messages are handled"), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.handled) >= n
	})
	return time.Since(start).Seconds()
}

func (e *partitionEnv) publishKeys(b *testing.B, keys, each int) int {
	for k := range keys {
		e.publish(b, fmt.Sprint("key-", k), each)
	}
	return keys * each
}

func oneMillisecond(string) { time.Sleep(time.Millisecond) }

func (e *partitionEnv) rate(b *testing.B) float64 {
	n := e.publishKeys(b, 1000, 4)
	e.start(b, e.js, oneMillisecond)
	close(e.gate)
	return float64(n) / e.seconds(b, n)
}

func (e *partitionEnv) slowKey(b *testing.B) float64 {
	const slow = 20
	var mu sync.Mutex
	others := 0
	e.publish(b, "slow", slow)
	n := e.publishKeys(b, 1000, 4)
	e.start(b, e.js, func(key string) {
		if key == "slow" {
			time.Sleep(200 * time.Millisecond)
			return
		}
		oneMillisecond(key)
		mu.Lock()
		others++
		mu.Unlock()
	})
	close(e.gate)
	start := time.Now()
	eventuallyWithin(b, time.Minute, "the other keys are handled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return others >= n
	})
	return time.Since(start).Seconds()
}

// takeover returns the seconds until most of the rest is handled, and until all of it is.
func (e *partitionEnv) takeover(b *testing.B) (most, all float64) {
	lost := e.server.connect(b)
	e.start(b, lost, oneMillisecond)
	e.start(b, e.server.connect(b), oneMillisecond)
	n := e.publishKeys(b, 1000, 4)
	close(e.gate)
	e.seconds(b, n/5)
	lost.Conn().Close()
	most = e.seconds(b, n-n*4/5/10)
	return most, most + e.seconds(b, n)
}
