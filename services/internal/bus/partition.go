package bus

import (
	"context"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/lease"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

const (
	// maxAckPending is how many messages of a partition may be unacknowledged at once. With 64,
	// what was about to be set aside held up other tenants: beside a backlog their p99 was 295 ms,
	// and with 256 it is 62 ms (BenchmarkEndToEnd/backlog).
	maxAckPending = 256
	// maxPendingBytes is how many bytes of messages a process requests of a partition. It holds
	// more only of redelivered messages, and of one message that is larger.
	maxPendingBytes = 4 << 20
	// pullBatch is how many messages one request of a partition may bring. It is more than
	// maxAckPending, so that a request is not used up before its bytes are.
	pullBatch = 512
)

// partitionConsumer delivers the messages of a consumer with a pinned client: those of a key one
// after another, in the order of the stream, and different keys at the same time. It has three
// parts:
//   - lease, the pin: only its owner receives messages;
//   - fence: whether a message may be started, although the previous owner may still work on
//     others;
//   - queues: which message of which key is next.
//
// One goroutine, that of run, receives, starts and acknowledges messages. So nothing is
// acknowledged between a check of the fence and the start that it permits.
type partitionConsumer struct {
	sub        *subscription
	lease      partitionLease
	fence      fence
	queues     *keyQueues
	heartbeats *heartbeats
	permits    *PermitQueue
	completed  chan completion
	// beingSetAside is how many messages are about to be set aside. setAsideAt is when messages of
	// a group were set aside last.
	beingSetAside int
	setAsideAt    map[string]time.Time
	// requestedAt is when messages were requested last, by lease.Now. bytesAtRequest is the size of
	// the pending messages at that time.
	requestedAt    time.Duration
	bytesAtRequest int
}

// completion is the disposition that a handler has chosen for a message.
type completion struct {
	message *pending
	result  disposition
}

func newPartitionConsumer(sub *subscription) *partitionConsumer {
	// a series that began with its first increment would not show to Prometheus' increase()
	metrics.LeasesLost.WithLabelValues(sub.stream, sub.consumer.Durable)
	return &partitionConsumer{
		sub: sub,
		lease: partitionLease{
			js:       sub.config.JS,
			stream:   sub.stream,
			consumer: sub.consumer.Durable,
			log:      sub.config.Logger.With("stream", sub.stream, "partition", sub.consumer.Durable),
		},
		queues:     newKeyQueues(),
		permits:    NewPermitQueue(),
		completed:  make(chan completion, maxAckPending),
		setAsideAt: map[string]time.Time{},
	}
}

// run delivers messages until ctx ends, and returns when the last handler has ended. It recovers
// from every loss of the lease, the connection, the server or the consumer.
func (c *partitionConsumer) run(ctx context.Context) {
	c.heartbeats = newHeartbeats(c.sub.nc, c.sub.ackWait)
	defer c.heartbeats.stop()
	for ctx.Err() == nil {
		if err := c.runEpoch(ctx); err != nil {
			c.recover(ctx, err)
		}
	}
	c.drain(nil)
}

// recover waits until the consumer can be pulled again, and completes messages meanwhile.
func (c *partitionConsumer) recover(ctx context.Context, reason error) {
	c.endLeases()
	c.sub.warnThrottled("pulling again", reason)
	recovered := make(chan struct{})
	go func() {
		defer close(recovered)
		c.sub.recover(ctx)
	}()
	c.drain(recovered)
	c.lease.unpin() // which failed while the connection was down
}

// drain completes messages until done is closed, or until no handler runs. Then it returns to the
// server the messages that were nacked meanwhile.
func (c *partitionConsumer) drain(done <-chan struct{}) {
	defer c.returnUnstarted()
	for done != nil || c.queues.started > 0 {
		select {
		case <-done:
			return
		case first := <-c.completed:
			c.completeAll(first)
		case <-c.heartbeats.due.C:
			c.heartbeat()
		case m := <-c.heartbeats.confirmed:
			c.heartbeats.confirm(m)
		}
	}
}

// runEpoch pulls until ctx ends, until another process is to have the partition, or until an error.
func (c *partitionConsumer) runEpoch(ctx context.Context) error {
	p, err := newPuller(c.sub.config.JS, c.sub.stream, c.sub.consumer, pullBatch)
	if err != nil {
		return err
	}
	c.fence.begin(c.connection())
	err = c.pull(ctx, p)
	for _, m := range p.close() {
		if stored, _ := p.read(m); stored {
			c.receive(p, m)
		}
	}
	c.returnUnstarted()
	if err != nil {
		c.lease.lost(err, c.queues.started)
		c.lease.unpin()
		return err
	}
	c.lease.release(c.queues.started)
	return nil
}

// pull is the delivery loop.
func (c *partitionConsumer) pull(ctx context.Context, p *puller) error {
	// The interval is random, so that the partitions spread over the processes in time.
	rebalance := time.NewTicker(c.sub.config.RebalanceInterval + rand.N(c.sub.config.RebalanceInterval))
	defer rebalance.Stop()
	for yielding := false; !yielding || c.queues.started > 0; {
		if !yielding {
			if err := c.startRunnable(ctx); err != nil {
				return err
			}
			c.setAside(ctx)
			if err := c.requestMore(p); err != nil {
				return err
			}
		}
		var checkDue <-chan time.Time
		if !c.fence.exclusive && c.queues.hasRunnable() {
			checkDue = time.After(checkInterval)
		}
		select {
		case m := <-p.arrived:
			if err := c.receiveAll(p, m); err != nil {
				return err
			}
		case <-c.permits.arrived:
		case first := <-c.completed:
			c.completeAll(first)
		case <-checkDue:
		case <-p.disconnected:
			return errForgotten
		case <-p.overdue.C:
			if p.unanswered() {
				return errForgotten
			}
		case m := <-c.heartbeats.confirmed:
			c.heartbeats.confirm(m)
		case <-c.heartbeats.due.C:
			c.heartbeat()
			// A nacked message that is not redelivered was deleted from the stream, or another
			// process has it. The check of a new epoch finds out.
			if c.queues.overdue(time.Now().Add(-2*c.sub.ackWait)) > 0 {
				return errLostPin
			}
		case <-rebalance.C:
			if yielding = yielding || c.fence.exclusive && c.lease.othersWait(ctx, min(p.remaining, 1)); yielding {
				c.withdraw()
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// requestMore requests messages if nothing remains of the last request.
func (c *partitionConsumer) requestMore(p *puller) error {
	if p.remaining > 0 {
		return nil
	}
	batch, maxBytes := c.nextRequest(p, time.Now())
	if batch == 0 {
		return nil
	}
	c.bytesAtRequest = c.queues.bytes
	c.requestedAt = lease.Now()
	return p.send(batch, maxBytes)
}

// nextRequest returns how many messages, and how many bytes of them, to request. A batch of 0 is no
// request; maxBytes of 0 is no limit.
//
// If the server has refused the last request because the next message is larger than its bytes, the
// same request is sent again when there is more room, or when the last one would have expired,
// because a request renews the pin. Two kinds of messages are requested whatever their size, or the
// partition would stop: one for which nothing else is pending, and those for which the fence or a
// key waits.
func (c *partitionConsumer) nextRequest(p *puller, now time.Time) (batch, maxBytes int) {
	fitting := max(maxPendingBytes-c.queues.bytes, 1)
	moreRoom := c.queues.bytes > 0 && c.queues.bytes < c.bytesAtRequest
	switch {
	case !p.tooLarge || moreRoom:
		return pullBatch, fitting
	case c.queues.bytes == 0:
		return 1, 0
	case now.Sub(p.requestedAt) < p.request.Expires:
		return 0, 0
	}
	awaited := c.queues.overdue(now)
	if !c.fence.exclusive {
		awaited = max(awaited, c.fence.elsewhere)
	}
	if awaited > 0 {
		return awaited, 0
	}
	return pullBatch, fitting
}

// batch yields a value that was received, and those that are behind it in the channel by now. One
// loop over many is cheaper than one select for each.
func batch[T any](first T, behind <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		more := len(behind)
		for ok := yield(first); ok && more > 0; more-- {
			ok = yield(<-behind)
		}
	}
}

// receiveAll receives what has arrived.
func (c *partitionConsumer) receiveAll(p *puller, first *nats.Msg) error {
	for m := range batch(first, p.arrived) {
		stored, err := p.read(m)
		if err != nil {
			return err
		}
		if stored {
			c.receive(p, m)
		}
	}
	return nil
}

// receive queues a message.
func (c *partitionConsumer) receive(p *puller, m *nats.Msg) {
	d, err := deliveryOf(m)
	if err != nil { // the server sends none such; it could not be acknowledged
		c.sub.log.Error("a message without JetStream's metadata", "subject", m.Subject, "error", err)
		return
	}
	if d.NumDelivered > 1 {
		metrics.Redeliveries.WithLabelValues(d.Stream, d.Consumer).Inc()
	}
	c.fence.observe(d.consumerSequence)
	message, overtaking := c.queues.add(d, c.group(d), m.Size())
	message.epoch = c.fence.epoch
	// a handler keeps its own, lost lease
	if message.state == queued || message.lease.Err() != nil {
		// The message may have waited in a buffer while this process was paused. Only the request
		// for it is certainly older than its delivery.
		message.lease = lease.New(c.sub.ackWait, c.requestedAt)
	}
	if overtaking != nil {
		// An older message of the key is unacknowledged. The handler of the newer one must not
		// write at its vendor any more. If it nacks its message, that starts again behind the older
		// one.
		overtaking.delivery.lease.End()
	}
	c.lease.renew(p.request.ID, len(c.queues.bySequence))
}

// startRunnable starts the messages that are next in their queues, if this process is exclusive.
// Permits that it does not use are given back.
func (c *partitionConsumer) startRunnable(ctx context.Context) error {
	permits := c.granted()
	defer func() {
		for _, p := range permits {
			p.release()
		}
	}()
	if !c.queues.hasRunnable() || !c.exclusive(ctx) {
		return nil
	}
	for message, ok := c.queues.next(); ok; message, ok = c.queues.next() {
		permit, admitted := c.admit(message, &permits)
		if !admitted {
			c.queues.hold(message)
			continue
		}
		if !c.fence.leaseValid(message, c.connection()) {
			permit.release()
			return errLostPin
		}
		c.start(ctx, message, permit)
	}
	return nil
}

// start passes a message to a handler, in a goroutine of its own.
func (c *partitionConsumer) start(ctx context.Context, message *pending, permit Permit) {
	message.delivery.permit = permit
	c.queues.start(message)
	d := message.delivery // a redelivery changes that of message
	go func() { c.completed <- completion{message, c.sub.deliver(ctx, d, nil)} }()
}

// exclusive reports whether messages may be started. If they may not, it checks again when that is
// due.
func (c *partitionConsumer) exclusive(ctx context.Context) bool {
	if !c.fence.checkDue(time.Now()) {
		return c.fence.exclusive
	}
	c.fence.postponeCheck(time.Now())
	info, err := c.lease.info(ctx)
	if err != nil {
		return false
	}
	c.fence.checkExclusive(info.NumAckPending, info.AckFloor.Stream, c.queues.all())
	return c.fence.exclusive
}

// completeAll completes the messages whose handlers have ended.
func (c *partitionConsumer) completeAll(first completion) {
	conn := c.connection()
	for done := range batch(first, c.completed) {
		c.complete(done.message, done.result, conn)
		if m := done.message; m.aside {
			m.aside = false
			c.beingSetAside--
			c.setAsideAt[m.group] = time.Now()
		}
	}
}

// complete replies to the server with the disposition of a message. Without a valid lease it nacks
// a message that its handler has acked: the redelivery finds the outcome in the record and is acked
// at once. See [fence.leaseValid].
func (c *partitionConsumer) complete(message *pending, result disposition, conn connection) {
	if result.kind == acked && !c.fence.leaseValid(message, conn) {
		result = disposition{nacked, 0}
	}
	c.sub.reply(message.delivery, result)
	if result.kind == nacked && message.epoch == c.fence.epoch {
		c.queues.retry(message, time.Now().Add(result.delay))
		return
	}
	c.queues.done(message)
}

func (c *partitionConsumer) connection() connection {
	return connection{up: c.sub.nc.IsConnected(), reconnects: c.sub.nc.Stats().Reconnects}
}

// returnUnstarted nacks all messages but the started ones. It cancels the delays of those that were
// nacked before: the next owner starts nothing until it has them all.
func (c *partitionConsumer) returnUnstarted() {
	c.fence.close()
	c.withdraw()
	for _, message := range c.queues.removeUnstarted() {
		if message.state == queued || time.Until(message.due) > 0 {
			c.sub.send(message.delivery, nak)
		}
	}
}

// heartbeat renews the leases of the pending messages.
func (c *partitionConsumer) heartbeat() {
	if err := c.heartbeats.send(c.queues.all()); err != nil {
		c.sub.log.Warn("no heartbeat could be sent; the messages are redelivered", "error", err)
	}
}

// endLeases ends the leases of the started messages. A server that was restarted, or whose leader
// was replaced, may have forgotten its deliveries and deliver the messages to another process at
// once.
func (c *partitionConsumer) endLeases() {
	for message := range c.queues.all() {
		if message.state == started {
			message.delivery.lease.End()
		}
	}
}
