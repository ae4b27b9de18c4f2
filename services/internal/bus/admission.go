package bus

import (
	"slices"
	"sync"
)

// Admission limits how many messages of a group a process works on at once, over all partitions. A
// message that is not admitted is not started: it keeps its place and its lease, and goes back to
// the server when its partition does.
type Admission interface {
	// Group names what a message counts against. A message of the group "" is always started.
	Group(Delivery) string
	// Admit permits one message of a group to start. Without a permit that is free, ok is false and
	// w is granted one later.
	Admit(group string, w *PermitQueue) (p Permit, ok bool)
	// Withdraw ends all that w waits for.
	Withdraw(w *PermitQueue)
}

// Permit is the right to work on one message of a group.
type Permit struct {
	Group string
	// Release gives the permit back. It may be called again. nil: there is nothing to give back.
	Release func()
}

func (p Permit) release() {
	if p.Release != nil {
		p.Release()
	}
}

// PermitQueue receives the permits that a partition waits for.
type PermitQueue struct {
	arrived chan struct{} // wakes the partition's loop
	mu      sync.Mutex
	permits []Permit
}

// NewPermitQueue returns an empty queue.
func NewPermitQueue() *PermitQueue { return &PermitQueue{arrived: make(chan struct{}, 1)} }

// Grant passes a permit on. It does not wait.
func (q *PermitQueue) Grant(p Permit) {
	q.mu.Lock()
	q.permits = append(q.permits, p)
	q.mu.Unlock()
	select {
	case q.arrived <- struct{}{}:
	default: // the loop has been woken already
	}
}

// Arrived signals that a permit was granted.
func (q *PermitQueue) Arrived() <-chan struct{} { return q.arrived }

// Take returns the permits that were granted since the last call.
func (q *PermitQueue) Take() []Permit {
	q.mu.Lock()
	defer q.mu.Unlock()
	permits := q.permits
	q.permits = nil
	return permits
}

// group is the group of a message.
func (c *partitionConsumer) group(d Delivery) string {
	if c.sub.config.Admission == nil {
		return ""
	}
	return c.sub.config.Admission.Group(d)
}

// granted takes the permits that were granted since the last call. Their groups have their turn.
func (c *partitionConsumer) granted() []Permit {
	permits := c.permits.Take()
	for _, p := range permits {
		c.queues.resume(p.Group)
	}
	return permits
}

// admit returns a permit for a message: one of those that were granted, which it takes out, or
// another.
func (c *partitionConsumer) admit(message *pending, granted *[]Permit) (Permit, bool) {
	if message.group == "" {
		return Permit{}, true
	}
	for i, p := range *granted {
		if p.Group == message.group {
			*granted = slices.Delete(*granted, i, i+1)
			return p, true
		}
	}
	return c.sub.config.Admission.Admit(message.group, c.permits)
}

// withdraw gives up what the unstarted messages wait for.
func (c *partitionConsumer) withdraw() {
	if c.sub.config.Admission == nil {
		return
	}
	c.sub.config.Admission.Withdraw(c.permits)
	for _, p := range c.permits.Take() {
		p.release()
	}
}
