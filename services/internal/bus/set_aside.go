package bus

import (
	"context"
	"maps"
	"time"
)

const (
	// largeShare is the part of maxAckPending, or of maxPendingBytes, that a group must fill for
	// its messages to be set aside. The server delivers the rest meanwhile. Several groups that
	// fill less each use up what they share, such as a vendor.
	largeShare = 0.25
	// setAsideFor is how long all that is held back of a group is set aside, once some of it was.
	// What was set aside is older.
	setAsideFor = 2 * time.Second
)

// setAside has messages stored elsewhere that fill the window and wait for a permit, so that those
// of other groups behind them are delivered.
func (c *partitionConsumer) setAside(ctx context.Context) {
	if c.sub.config.SetAside == nil || c.beingSetAside > 0 || !c.fence.exclusive {
		return
	}
	if len(c.setAsideAt) == 0 && fill(len(c.queues.bySequence), c.queues.bytes) < largeShare { // no group can fill as much
		return
	}
	maps.DeleteFunc(c.setAsideAt, func(_ string, at time.Time) bool { return time.Since(at) > setAsideFor })
	var messages []*pending
	for g, held := range c.queues.heldBack() {
		if _, again := c.setAsideAt[g.name]; again || fill(len(held), size(held)) >= largeShare {
			c.queues.setAside(g, held)
			messages = append(messages, held...)
		}
	}
	if c.beingSetAside = len(messages); c.beingSetAside == 0 {
		return
	}
	deliveries := make([]Delivery, len(messages))
	for i, p := range messages {
		deliveries[i] = p.delivery
	}
	go c.storeElsewhere(ctx, messages, deliveries)
}

// fill is the share of the window that so many messages, of so many bytes, fill.
func fill(messages, bytes int) float64 {
	return max(float64(messages)/maxAckPending, float64(bytes)/maxPendingBytes)
}

// size is how many bytes messages have.
func size(messages []*pending) (bytes int) {
	for _, p := range messages {
		bytes += p.size
	}
	return bytes
}

// storeElsewhere sets messages aside, and completes them.
func (c *partitionConsumer) storeElsewhere(ctx context.Context, messages []*pending, deliveries []Delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.sub.ackWait)
	defer cancel()
	result := disposition{acked, 0}
	if err := c.sub.config.SetAside(ctx, deliveries); err != nil {
		c.sub.warnThrottled("messages could not be set aside", err)
		result = disposition{nacked, Backoff(deliveries[0], nil)}
	}
	for _, p := range messages {
		c.completed <- completion{p, result}
	}
}
