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
	group    string // of [Admission]
	size     int    // bytes in memory; 0 while awaitingRedelivery
	state    pendingState
	aside    bool  // started to be set aside
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
// The keys with a message to start wait by its group. Groups take turns. A group that is held back
// has no turn, and costs nothing.
//
// It is pure: it knows neither server nor goroutine. It is not safe for concurrent use.
type keyQueues struct {
	bySequence map[uint64]*pending
	byKey      map[string][]*pending
	groups     map[string]*keyGroup // those with keys
	ready      []*keyGroup          // those of groups that are not held back; the next turn is first
	bytes      int                  // of all pending messages
	started    int
}

// keyGroup is a group of [Admission].
type keyGroup struct {
	name string
	keys []string // whose first message may have become startable
	held bool
}

func newKeyQueues() *keyQueues {
	return &keyQueues{bySequence: map[uint64]*pending{}, byKey: map[string][]*pending{}, groups: map[string]*keyGroup{}}
}

// add queues a delivery of a group, of so many bytes. Of a message that is pending already it keeps
// the place: one that was awaiting its redelivery is queued again, and one that is started goes on,
// with the acknowledgement address of the new delivery.
//
// overtaking is the started message that is newer than this one and has the same key, or nil. The
// server delivers an older message behind a newer one if it lost the older one's acknowledgement,
// for example in a restart. Then the older one stays queued until the newer one is done.
func (q *keyQueues) add(d Delivery, group string, size int) (p, overtaking *pending) {
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
	p.group = group
	p.size = size
	p.state = queued
	q.offer(p.key)
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

// first returns the message of a key that may be started; ok is false if there is none.
func (q *keyQueues) first(key string) (p *pending, ok bool) {
	queue := q.byKey[key]
	if len(queue) == 0 || queue[0].state != queued || q.startedOf(key) != nil {
		return nil, false
	}
	return queue[0], true
}

// offer lists a key in the group of its first message, if that may be started.
func (q *keyQueues) offer(key string) {
	p, ok := q.first(key)
	if !ok {
		return
	}
	g := q.group(p.group)
	g.keys = append(g.keys, key)
	if len(g.keys) == 1 && !g.held {
		q.ready = append(q.ready, g)
	}
}

func (q *keyQueues) group(name string) *keyGroup {
	g, ok := q.groups[name]
	if !ok {
		g = &keyGroup{name: name}
		q.groups[name] = g
	}
	return g
}

// next returns a message that is the first of its key, if no message of the key is started and its
// group is not held back. ok is false if there is none. The caller starts it, holds it back, or
// returns it to the server.
func (q *keyQueues) next() (p *pending, ok bool) {
	for len(q.ready) > 0 {
		g := q.ready[0]
		q.ready = q.ready[1:]
		key := g.keys[0]
		g.keys = g.keys[1:]
		if len(g.keys) > 0 {
			q.ready = append(q.ready, g)
		} else {
			delete(q.groups, g.name)
		}
		if p, ok := q.first(key); ok && p.group == g.name {
			return p, true
		}
	}
	return nil, false
}

// hold puts back a message that [keyQueues.next] has returned, and holds back its group.
func (q *keyQueues) hold(p *pending) {
	g := q.group(p.group)
	g.keys = slices.Insert(g.keys, 0, p.key)
	g.held = true
	q.ready = slices.DeleteFunc(q.ready, func(other *keyGroup) bool { return other == g })
}

// resume gives a group its turn again.
func (q *keyQueues) resume(group string) {
	g, ok := q.groups[group]
	switch {
	case !ok || !g.held:
	case len(g.keys) == 0:
		delete(q.groups, group)
	default:
		g.held = false
		q.ready = append(q.ready, g)
	}
}

// heldBack yields the groups that are held back, with their messages in the order of the stream. Of
// a key it has the first messages that are queued: all up to one that has no group, or that was
// nacked. It has nothing of a key of which a message is started.
func (q *keyQueues) heldBack() iter.Seq2[*keyGroup, []*pending] {
	return func(yield func(*keyGroup, []*pending) bool) {
		for _, g := range q.groups {
			if !g.held {
				continue
			}
			var messages []*pending
			for _, key := range g.keys {
				if first, ok := q.first(key); !ok || first.group != g.name {
					continue
				}
				for _, p := range q.byKey[key] {
					if p.state != queued || p.group == "" {
						break
					}
					messages = append(messages, p)
				}
			}
			slices.SortFunc(messages, func(a, b *pending) int { return cmp.Compare(a.delivery.Sequence, b.delivery.Sequence) })
			if !yield(g, slices.Compact(messages)) { // a key may be listed twice
				return
			}
		}
	}
}

// setAside marks messages of [keyQueues.heldBack] as started. The group stays held back.
func (q *keyQueues) setAside(g *keyGroup, messages []*pending) {
	for _, p := range messages {
		q.start(p)
		p.aside = true
	}
	g.keys = nil
}

// hasRunnable reports whether [keyQueues.next] may have a message.
func (q *keyQueues) hasRunnable() bool { return len(q.ready) > 0 }

// start marks a message as started. Its handler keeps the lease that the message has now.
func (q *keyQueues) start(p *pending) {
	p.delivery.lease = p.lease
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
	q.offer(p.key)
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
	clear(q.groups)
	q.ready = nil
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
