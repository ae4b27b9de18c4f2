package bus

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/mailwright/mailwright/services/internal/lease"
)

// pending is a message that the server has delivered to this process and that is not acknowledged.
type pending struct {
	delivery Delivery
	key      string
	size     int // bytes in memory; 0 while awaitingRedelivery
	state    pendingState
	epoch    epoch // of its last delivery
	lease    *lease.Lease
	due      time.Time // of the redelivery; set while awaitingRedelivery
}

type pendingState int

const (
	// queued: not started.
	queued pendingState = iota
	// started: a handler runs.
	started
	// awaitingRedelivery: nacked. It blocks its key until the server delivers it again.
	awaitingRedelivery
)

// keyQueues orders the pending messages of a partition. Each key has a queue in the order of the
// stream, and at most one started message. Keys are independent of each other.
//
// It is pure: it knows neither server nor goroutine. It is not safe for concurrent use.
type keyQueues struct {
	bySequence map[uint64]*pending
	byKey      map[string][]*pending
	runnable   []string // keys whose first message may have become startable
	bytes      int      // of all pending messages
	started    int
}

func newKeyQueues() *keyQueues {
	return &keyQueues{bySequence: map[uint64]*pending{}, byKey: map[string][]*pending{}}
}

// add queues a delivery of so many bytes. Of a message that is pending already it keeps the place:
// one that was awaiting its redelivery is queued again, and one that is started goes on, with the
// acknowledgement address of the new delivery.
//
// overtaking is the started message that is newer than this one and has the same key, or nil. The
// server delivers an older message behind a newer one if it lost the older one's acknowledgement,
// for example in a restart. Then the older one stays queued until the newer one is done.
func (q *keyQueues) add(d Delivery, size int) (p, overtaking *pending) {
	p, known := q.bySequence[d.Sequence]
	if !known {
		p = &pending{delivery: d, key: d.Subject}
		q.insert(p)
	}
	if p.state == started {
		p.delivery.replyTo = d.replyTo
		return p, nil
	}
	q.bytes += size - p.size
	p.delivery = d
	p.size = size
	p.state = queued
	q.runnable = append(q.runnable, p.key)
	if other := q.startedOf(p.key); other != nil && other.delivery.Sequence > d.Sequence {
		overtaking = other
	}
	return p, overtaking
}

func (q *keyQueues) insert(p *pending) {
	q.bySequence[p.delivery.Sequence] = p
	queue := q.byKey[p.key]
	at, _ := slices.BinarySearchFunc(queue, p.delivery.Sequence, func(other *pending, sequence uint64) int {
		return cmp.Compare(other.delivery.Sequence, sequence)
	})
	q.byKey[p.key] = slices.Insert(queue, at, p)
}

// startedOf returns the started message of a key, or nil.
func (q *keyQueues) startedOf(key string) *pending {
	for _, p := range q.byKey[key] {
		if p.state == started {
			return p
		}
	}
	return nil
}

// next returns the first message of a key if it is queued and no message of the key is started. ok
// is false if there is none. The caller starts it, or returns it to the server.
func (q *keyQueues) next() (p *pending, ok bool) {
	for len(q.runnable) > 0 {
		key := q.runnable[0]
		q.runnable = q.runnable[1:]
		queue := q.byKey[key]
		if len(queue) > 0 && queue[0].state == queued && q.startedOf(key) == nil {
			return queue[0], true
		}
	}
	return nil, false
}

// hasRunnable reports whether [keyQueues.next] may have a message.
func (q *keyQueues) hasRunnable() bool { return len(q.runnable) > 0 }

// start marks a message as started.
func (q *keyQueues) start(p *pending) {
	p.state = started
	q.started++
}

// done removes a message. The next one of its key may start.
func (q *keyQueues) done(p *pending) {
	if p.state == started {
		q.started--
	}
	q.bytes -= p.size
	delete(q.bySequence, p.delivery.Sequence)
	queue := slices.DeleteFunc(q.byKey[p.key], func(other *pending) bool { return other == p })
	if len(queue) == 0 {
		delete(q.byKey, p.key)
		return
	}
	q.byKey[p.key] = queue
	q.runnable = append(q.runnable, p.key)
}

// retry keeps the place of a started message that was nacked, until the server delivers it again at
// due. Its contents are dropped: the redelivery brings them.
func (q *keyQueues) retry(p *pending, due time.Time) {
	q.started--
	q.bytes -= p.size
	p.size = 0
	p.delivery.Header = nil
	p.delivery.Data = nil
	p.state = awaitingRedelivery
	p.due = due
	q.runnable = append(q.runnable, p.key)
}

// removeUnstarted removes all messages but the started ones, and returns them.
func (q *keyQueues) removeUnstarted() []*pending {
	var removed []*pending
	for _, p := range q.bySequence {
		if p.state != started {
			removed = append(removed, p)
			q.done(p)
		}
	}
	q.runnable = nil
	return removed
}

// overdue counts the messages that should have been delivered again before a time.
func (q *keyQueues) overdue(before time.Time) (n int) {
	for p := range q.all() {
		if p.state == awaitingRedelivery && p.due.Before(before) {
			n++
		}
	}
	return n
}

// all yields the pending messages in no order.
func (q *keyQueues) all() iter.Seq[*pending] { return maps.Values(q.bySequence) }
