package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// recoverMin and recoverMax bound the pauses between attempts to pull again.
	recoverMin = 100 * time.Millisecond
	recoverMax = 500 * time.Millisecond
	// settleTime is what a handler has left once its context has ended.
	settleTime = time.Second
)

// subscription delivers the messages of one topic.
type subscription struct {
	SubscriberConfig
	stream   string
	consumer jetstream.ConsumerConfig
	ackWait  time.Duration
	flight   context.Context
	messages chan *message.Message
	log      *slog.Logger
	mayLog   func() bool // several workers meet the same trouble, again and again
}

// work takes one message after another until ctx ends, through every loss of the connection,
// the server or the consumer.
func (s *subscription) work(ctx context.Context) {
	for {
		err := s.consume(ctx)
		if ctx.Err() != nil {
			return
		}
		s.complain("pulling again", err)
		s.recover(ctx)
	}
}

// consume hands out messages until something fails.
func (s *subscription) consume(ctx context.Context) error {
	p, err := newPuller(s.JS, s.stream, s.consumer)
	if err != nil {
		return err
	}
	defer p.close()
	for {
		m, err := p.next(ctx)
		if err != nil {
			return err
		}
		s.deliver(ctx, m)
	}
}

// recover returns when there is a connection and the consumer is there, or when ctx ends.
func (s *subscription) recover(ctx context.Context) {
	for pause := recoverMin; ; pause = min(2*pause, recoverMax) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if !s.JS.Conn().IsConnected() {
			continue
		}
		_, err := EnsureConsumer(ctx, s.JS, s.stream, s.consumer)
		if err == nil {
			return
		}
		s.complain("the consumer is not there, or not as it must be", err)
	}
}

// complain logs trouble now and then. A lost connection is logged by who holds it.
func (s *subscription) complain(what string, err error) {
	if s.JS.Conn().IsConnected() && s.mayLog() {
		s.log.Warn(what, "error", err)
	}
}

// deliver hands one message out and settles it.
func (s *subscription) deliver(ctx context.Context, m *nats.Msg) {
	d, err := deliveryOf(m)
	if err != nil { // the server sends none such; it could not be settled
		s.log.Error("a message without JetStream's metadata", "subject", m.Subject, "error", err)
		return
	}
	msg, err := unmarshal(d)
	if err != nil {
		s.malformed(ctx, m, d, err)
		return
	}
	msgCtx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), deliveryKey{}, d))
	defer cancel()
	msg.SetContext(msgCtx)

	alive := time.NewTicker(s.ackWait / 3)
	defer alive.Stop()
	give, stopped, timeUp := s.messages, ctx.Done(), s.flight.Done()
	var abandoned <-chan time.Time
	for {
		select {
		case give <- msg:
			give, stopped = nil, nil // started: it may finish
		case <-stopped:
			s.sent("nak", d, m.Nak()) // not started: to another replica, at once
			return
		case <-alive.C:
			s.sent("in progress", d, m.InProgress())
		case <-msg.Acked():
			s.sent("ack", d, s.ack(m))
			return
		case <-msg.Nacked():
			s.sent("nak", d, m.NakWithDelay(s.NakDelay(d, msg)))
			return
		case <-timeUp:
			cancel()
			timeUp, abandoned = nil, time.After(settleTime)
		case <-abandoned:
			s.log.Warn("gave up waiting for a handler; the message comes back after AckWait", "sequence", d.Sequence)
			return
		}
	}
}

// malformed hands over what can not be made a message, and settles it only if that was done.
func (s *subscription) malformed(ctx context.Context, m *nats.Msg, d Delivery, reason error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.ackWait)
	defer cancel()
	err := errors.New("nobody takes malformed messages")
	if s.Malformed != nil {
		err = s.Malformed(ctx, d, reason)
	}
	if err != nil {
		s.log.Error("a malformed message could not be handed over", "sequence", d.Sequence, "reason", reason, "error", err)
		s.sent("nak", d, m.NakWithDelay(Backoff(d, nil)))
		return
	}
	// Not terminated: an advisory of that means that a message was given up, which this one was not.
	s.sent("ack", d, m.Ack())
}

func (s *subscription) ack(m *nats.Msg) error {
	if s.ConfirmAck {
		return m.AckSync()
	}
	return m.Ack()
}

// sent notes an acknowledgement that did not get out: the message will be delivered again.
func (s *subscription) sent(what string, d Delivery, err error) {
	if err != nil {
		s.log.Warn("could not tell the server; the message will come again", "what", what, "sequence", d.Sequence, "error", err)
	}
}
