package bus

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// sharedConsumer delivers the messages of a consumer from which any number of processes pull. It
// keeps no order.
//
// It pulls by [puller] rather than by nats.go's Messages, which loses stored messages that look
// like a status message; see there.
type sharedConsumer struct {
	sub      *subscription
	slots    chan struct{} // one for each message that may be in flight
	finished chan struct{} // wakes the loop after a handler
	handlers sync.WaitGroup
}

func newSharedConsumer(sub *subscription) *sharedConsumer {
	return &sharedConsumer{
		sub:      sub,
		slots:    make(chan struct{}, sub.config.Parallel),
		finished: make(chan struct{}, 1),
	}
}

// run delivers messages until ctx ends, and returns when the last handler has ended. It recovers
// from every loss of the connection, the server or the consumer.
func (c *sharedConsumer) run(ctx context.Context) {
	defer c.handlers.Wait()
	for ctx.Err() == nil {
		if err := c.pull(ctx); err != nil {
			c.sub.warnThrottled("pulling again", err)
			c.sub.recover(ctx)
		}
	}
}

// pull delivers messages until ctx ends, or until the error. It requests no more than may be in
// flight: a message that waited here unread would run into AckWait.
func (c *sharedConsumer) pull(ctx context.Context) error {
	p, err := newPuller(c.sub.config.JS, c.sub.stream, c.sub.consumer, cap(c.slots))
	if err != nil {
		return err
	}
	defer func() {
		for _, m := range p.close() {
			_ = c.sub.nc.Publish(m.Reply, nak)
		}
	}()
	for {
		if free := cap(c.slots) - len(c.slots); free > 0 && p.remaining == 0 {
			if err := p.send(free, 0); err != nil {
				return err
			}
		}
		select {
		case m := <-p.arrived:
			stored, err := p.read(m)
			if err != nil {
				return err
			}
			if stored {
				c.start(ctx, m)
			}
		case <-p.disconnected:
			return errForgotten
		case <-p.overdue.C:
			if p.unanswered() {
				return errForgotten
			}
		case <-c.finished:
		case <-ctx.Done():
			return nil
		}
	}
}

// start delivers a message in a goroutine of its own. There is a free slot: one was free when the
// message was requested, and only this loop takes slots.
func (c *sharedConsumer) start(ctx context.Context, m *nats.Msg) {
	d, err := deliveryOf(m)
	if err != nil {
		c.sub.log.Error("a message without JetStream's metadata", "subject", m.Subject, "error", err)
		return
	}
	c.slots <- struct{}{}
	c.handlers.Go(func() {
		heartbeat := time.NewTicker(c.sub.ackWait / 3)
		defer heartbeat.Stop()
		c.sub.reply(d, c.sub.deliver(ctx, d, heartbeat.C))
		<-c.slots
		select {
		case c.finished <- struct{}{}:
		default: // another handler has woken the loop already
		}
	})
}
