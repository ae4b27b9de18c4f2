package bus

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/lease"
)

func TestNextRequestFitsTheBytesThatArePending(t *testing.T) {
	t.Parallel()
	const expires = 5 * time.Second
	now := time.Now()
	for name, c := range map[string]struct {
		pendingBytes, bytesAtRequest int
		tooLarge                     bool
		requestedAgo                 time.Duration
		awaited                      bool // a nacked message is overdue
		notExclusive                 bool
		elsewhere                    int
		batch, maxBytes              int
	}{
		"nothing is pending":                      {batch: pullBatch, maxBytes: maxPendingBytes},
		"some are pending":                        {pendingBytes: 1 << 20, batch: pullBatch, maxBytes: maxPendingBytes - 1<<20},
		"all bytes are pending":                   {pendingBytes: maxPendingBytes, batch: pullBatch, maxBytes: 1},
		"more than all bytes are pending":         {pendingBytes: maxPendingBytes + 1, batch: pullBatch, maxBytes: 1},
		"the next is too large for the rest":      {pendingBytes: 100, bytesAtRequest: 100, tooLarge: true},
		"the same, and the pin must be renewed":   {pendingBytes: 100, bytesAtRequest: 100, tooLarge: true, requestedAgo: expires, batch: pullBatch, maxBytes: maxPendingBytes - 100},
		"the same, and there is more room":        {pendingBytes: 50, bytesAtRequest: 100, tooLarge: true, batch: pullBatch, maxBytes: maxPendingBytes - 50},
		"the next is too large, nothing pending":  {bytesAtRequest: 100, tooLarge: true, batch: 1},
		"a redelivery is awaited":                 {pendingBytes: 100, bytesAtRequest: 100, tooLarge: true, requestedAgo: expires, awaited: true, batch: 1},
		"the fence waits for messages":            {pendingBytes: 100, bytesAtRequest: 100, tooLarge: true, requestedAgo: expires, notExclusive: true, elsewhere: 7, batch: 7},
		"the fence waits, and less than a retry":  {pendingBytes: 100, bytesAtRequest: 100, tooLarge: true, requestedAgo: expires, awaited: true, notExclusive: true, batch: 1},
		"an old check of a fence that opened":     {pendingBytes: 100, bytesAtRequest: 100, tooLarge: true, requestedAgo: expires, elsewhere: 7, batch: pullBatch, maxBytes: maxPendingBytes - 100},
		"nothing is refused although all is full": {pendingBytes: maxPendingBytes, requestedAgo: expires, batch: pullBatch, maxBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &partitionConsumer{queues: newKeyQueues(), bytesAtRequest: c.bytesAtRequest}
			if c.awaited {
				m, _ := p.queues.add(Delivery{Subject: "a", Sequence: 1}, "", 10)
				p.queues.start(m)
				p.queues.retry(m, now.Add(-time.Second))
			}
			p.queues.bytes = c.pendingBytes
			p.fence.exclusive = !c.notExclusive
			p.fence.elsewhere = c.elsewhere
			pull := &puller{tooLarge: c.tooLarge, requestedAt: now.Add(-c.requestedAgo), request: pullRequest{Expires: expires}}
			if batch, maxBytes := p.nextRequest(pull, now); batch != c.batch || maxBytes != c.maxBytes {
				t.Errorf("a request for %d messages of %d bytes, want %d of %d", batch, maxBytes, c.batch, c.maxBytes)
			}
		})
	}
}

// received is a message of the key S.a as the server delivers it.
func received(sequence, delivery uint64) *nats.Msg {
	return &nats.Msg{
		Subject: "S.a",
		Reply:   fmt.Sprintf("$JS.ACK.S.consumer.1.%d.%d.%d.0", sequence, delivery, time.Now().UnixNano()),
		Sub:     &nats.Subscription{},
	}
}

func TestAnOlderMessageEndsTheLeaseOfANewerStartedOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second uint64 // sequence of the message that comes while message 5 is started
		lost   bool
	}{
		"an older message":  {4, true},
		"a newer message":   {6, false},
		"the message again": {5, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := leasedConsumer()
			p.receive(&puller{}, received(5, 1))
			m, _ := p.queues.next()
			p.queues.start(m)
			p.receive(&puller{}, received(c.second, 2))
			if lost := m.delivery.lease.Err() != nil; lost != c.lost {
				t.Errorf("the lease of message 5 is lost: %v", lost)
			}
			if next, ok := p.queues.next(); ok {
				t.Errorf("message %d may start beside message 5", next.delivery.Sequence)
			}
		})
	}
}

// TestWhatIsSetAsideHasALease: it ends like that of any started message when the connection is
// lost, or when an older message of the key comes. Without one, the process would panic.
func TestWhatIsSetAsideHasALease(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*partitionConsumer){
		"the connection is lost": (*partitionConsumer).endLeases,
		"an older message comes": func(p *partitionConsumer) { p.receive(&puller{}, received(4, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := leasedConsumer()
			p.receive(&puller{}, received(5, 1))
			m := p.queues.bySequence[5]
			p.queues.setAside(p.queues.group(""), []*pending{m})
			lose(p)
			if m.delivery.lease.Err() == nil {
				t.Error("the lease is valid")
			}
		})
	}
}

// leasedConsumer is a consumer without a server, whose messages have a lease of an hour.
func leasedConsumer() *partitionConsumer {
	return &partitionConsumer{sub: &subscription{ackWait: time.Hour}, queues: newKeyQueues(), requestedAt: lease.Now()}
}
