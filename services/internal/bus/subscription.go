package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// minRecoverPause and maxRecoverPause bound the pauses between attempts to pull again.
	minRecoverPause = 100 * time.Millisecond
	maxRecoverPause = 500 * time.Millisecond
	// abandonTimeout is how long a handler may go on after its context has ended.
	abandonTimeout = time.Second
)

// subscription is what both ways of delivery share: [partitionConsumer] and [sharedConsumer]. It
// passes one message to a handler, and replies to the server.
type subscription struct {
	config   SubscriberConfig
	nc       *nats.Conn
	stream   string
	consumer jetstream.ConsumerConfig
	ackWait  time.Duration
	messages chan *message.Message
	// abort is closed when handlers have had their time.
	abort      <-chan struct{}
	log        *slog.Logger
	logLimiter func() bool
}

// recover returns when the connection is up and the consumer exists, or when ctx ends.
func (s *subscription) recover(ctx context.Context) {
	for pause := minRecoverPause; ; pause = min(2*pause, maxRecoverPause) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if !s.nc.IsConnected() {
			continue
		}
		_, err := EnsureConsumer(ctx, s.config.JS, s.stream, s.consumer)
		if err == nil {
			return
		}
		s.warnThrottled("the consumer is missing or misconfigured", err)
	}
}

// warnThrottled logs a warning, but only now and then, and not while the connection is down:
// [Connect] logs that.
func (s *subscription) warnThrottled(what string, err error) {
	if s.nc.IsConnected() && s.logLimiter() {
		s.log.Warn(what, "error", err)
	}
}

// disposition is the reply to the server for a delivery.
type disposition struct {
	kind  dispositionKind
	delay time.Duration // until the redelivery of a nacked one
}

type dispositionKind int

const (
	// acked: the server forgets the delivery.
	acked dispositionKind = iota
	// nacked: the server redelivers the message after the delay.
	nacked
	// abandoned: the handler did not end in time. Nothing is sent, so the server redelivers the
	// message after AckWait.
	abandoned
)

// deliver passes a message to a handler and returns the handler's disposition. At each tick of
// heartbeat, which may be nil, it sends a heartbeat for the message. If ctx ends before a handler
// has taken the message, the message is nacked, for another process. A handler that has taken it
// may finish.
func (s *subscription) deliver(ctx context.Context, d Delivery, heartbeat <-chan time.Time) disposition {
	msg, err := unmarshal(d)
	if err != nil {
		defer d.ReleasePermit()
		return s.malformed(ctx, d, err)
	}
	msgCtx, cancel := context.WithCancel(&deliveryContext{context.WithoutCancel(ctx), d})
	defer cancel()
	msg.SetContext(msgCtx)

	for taken := false; !taken; {
		select {
		case s.messages <- msg:
			taken = true
		case <-heartbeat:
			s.send(d, inProgress)
		case <-ctx.Done():
			d.ReleasePermit()
			return disposition{nacked, 0}
		}
	}
	return s.await(d, msg, cancel, heartbeat)
}

// await waits for the handler's Ack or Nack. On abort it ends the handler's context, and waits
// for abandonTimeout more.
func (s *subscription) await(d Delivery, msg *message.Message, cancel context.CancelFunc, heartbeat <-chan time.Time) disposition {
	abort := s.abort
	var timeout <-chan time.Time
	for {
		select {
		case <-heartbeat:
			s.send(d, inProgress)
		case <-msg.Acked():
			return disposition{acked, 0}
		case <-msg.Nacked():
			return disposition{nacked, s.config.NakDelay(d, msg)}
		case <-abort:
			cancel()
			abort = nil
			timeout = time.After(abandonTimeout)
		case <-timeout:
			s.log.Warn("a handler did not end; its message is redelivered after AckWait", "sequence", d.Sequence)
			return disposition{abandoned, 0}
		}
	}
}

// malformed passes a delivery that is no Watermill message to the configuration's Malformed, and
// acks it if that succeeds. It does not terminate the message: the server would publish an advisory
// that the message failed.
func (s *subscription) malformed(ctx context.Context, d Delivery, reason error) disposition {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.ackWait)
	defer cancel()
	err := errors.New("the subscriber has no function Malformed")
	if s.config.Malformed != nil {
		err = s.config.Malformed(ctx, d, reason)
	}
	if err != nil {
		s.log.Error("a malformed message could not be dead-lettered", "sequence", d.Sequence, "reason", reason, "error", err)
		return disposition{nacked, Backoff(d, nil)}
	}
	return disposition{acked, 0}
}

// The acknowledgements of the JetStream protocol. nats.go's methods for them allow only one per
// message, but a message that was nacked with a delay is nacked again when its partition is
// released.
var (
	ack        = []byte("+ACK")
	nak        = []byte("-NAK")
	inProgress = []byte("+WPI")
)

// reply sends the disposition of a delivery to the server.
func (s *subscription) reply(d Delivery, result disposition) {
	switch {
	case result.kind == acked:
		s.send(d, ack)
	case result.kind == nacked && result.delay > 0:
		s.send(d, fmt.Appendf(nil, `%s {"delay": %d}`, nak, result.delay.Nanoseconds()))
	case result.kind == nacked:
		s.send(d, nak)
	}
}

// send sends an acknowledgement. One that fails is only logged: the server redelivers the message
// after AckWait.
func (s *subscription) send(d Delivery, acknowledgement []byte) {
	if err := s.nc.Publish(d.replyTo, acknowledgement); err != nil {
		s.log.Warn("an acknowledgement could not be sent; the message is redelivered",
			"acknowledgement", string(acknowledgement), "sequence", d.Sequence, "error", err)
	}
}
