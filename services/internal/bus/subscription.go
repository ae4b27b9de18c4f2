package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
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
	values   context.Context // of the messages' contexts
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
	defer func() {
		for _, m := range p.close() {
			_ = s.JS.Conn().Publish(m.Reply, nak)
		}
	}()
	alive := time.NewTicker(s.ackWait / 3)
	defer alive.Stop()
	for {
		m, err := p.next(ctx)
		if err != nil {
			return err
		}
		d, err := deliveryOf(m)
		if err != nil {
			return err
		}
		alive.Reset(s.ackWait / 3)
		s.settle(d, s.deliver(ctx, d, alive.C))
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

// settlement is what became of a delivery.
type settlement int

const (
	acked   settlement = iota
	nacked             // it comes back
	givenUp            // nothing is told to the server: it comes back after AckWait
)

// verdict says what became of a delivery, and after what delay one that was nacked comes back.
type verdict struct {
	settlement
	delay time.Duration
}

// deliver hands one message out and waits for what becomes of it. At each tick of alive the server
// hears that somebody is at work on it.
func (s *subscription) deliver(ctx context.Context, d Delivery, alive <-chan time.Time) verdict {
	msg, err := unmarshal(d)
	if err != nil {
		return s.malformed(d, err)
	}
	msgCtx, cancel := context.WithCancel(&deliveryContext{s.values, d})
	defer cancel()
	msg.SetContext(msgCtx)

	for given := false; !given; {
		select {
		case s.messages <- msg:
			given = true // started: it may finish
		case <-alive:
			s.tell(d, inProgress)
		case <-ctx.Done():
			return verdict{nacked, 0} // not started: to another replica, at once
		}
	}
	timeUp := s.flight.Done()
	var abandoned <-chan time.Time
	for {
		select {
		case <-alive:
			s.tell(d, inProgress)
		case <-msg.Acked():
			return verdict{acked, 0}
		case <-msg.Nacked():
			return verdict{nacked, s.NakDelay(d, msg)}
		case <-timeUp:
			cancel()
			timeUp, abandoned = nil, time.After(settleTime)
		case <-abandoned:
			s.log.Warn("gave up waiting for a handler; the message comes back after AckWait", "sequence", d.Sequence)
			return verdict{givenUp, 0}
		}
	}
}

// malformed hands over what can not be made a message, which settles it only if that was done.
func (s *subscription) malformed(d Delivery, reason error) verdict {
	ctx, cancel := context.WithTimeout(s.values, s.ackWait)
	defer cancel()
	err := errors.New("nobody takes malformed messages")
	if s.Malformed != nil {
		err = s.Malformed(ctx, d, reason)
	}
	if err != nil {
		s.log.Error("a malformed message could not be handed over", "sequence", d.Sequence, "reason", reason, "error", err)
		return verdict{nacked, Backoff(d, nil)}
	}
	// Not terminated: an advisory of that means that a message was given up, which this one was
	// not.
	return verdict{acked, 0}
}

// settle tells the server what became of a delivery.
func (s *subscription) settle(d Delivery, v verdict) {
	switch {
	case v.settlement == acked:
		s.tell(d, ack)
	case v.settlement == nacked && v.delay > 0:
		s.tell(d, fmt.Appendf(nil, `%s {"delay": %d}`, nak, v.delay.Nanoseconds()))
	case v.settlement == nacked:
		s.tell(d, nak)
	}
}

// What the server is told of a delivery. The library's methods for it refuse a second word, such as
// that a message that was to wait may come at once.
var (
	ack        = []byte("+ACK")
	nak        = []byte("-NAK")
	inProgress = []byte("+WPI")
)

// tell notes what did not get out: the message will be delivered again.
func (s *subscription) tell(d Delivery, what []byte) {
	if err := s.JS.Conn().Publish(d.reply, what); err != nil {
		s.log.Warn("could not tell the server; the message will come again", "what", string(what), "sequence", d.Sequence, "error", err)
	}
}
