package bus

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/lease"
)

// heartbeats renews the leases of a consumer's messages. The server confirms a +WPI that has a
// reply subject. It processes those of a consumer in order, so the confirmation of the last one of
// a round confirms the whole round.
//
// A confirmation means that the server has received the heartbeat. It does not mean that the
// message is still ours: the server confirms also if it has redelivered the message to another
// process. [lease.Lease.Renew] therefore ignores a confirmation that comes later than AckWait after
// the heartbeat before.
type heartbeats struct {
	nc          *nats.Conn
	ackWait     time.Duration
	due         *time.Ticker
	inbox       string
	replies     *nats.Subscription // nil before the first round
	confirmed   chan *nats.Msg
	lastRound   uint64
	unconfirmed []heartbeatRound // oldest first
}

// heartbeatRound is the heartbeats that were sent at one time.
type heartbeatRound struct {
	number uint64
	sent   time.Duration // by lease.Now
	leases []*lease.Lease
}

// heartbeatsPerAckWait is the number of rounds in AckWait. A message's first heartbeat must be
// confirmed within two thirds of AckWait after the message was requested, and a request may be open
// for a third of it. So two rounds at least fall into the rest.
const heartbeatsPerAckWait = 5

func newHeartbeats(nc *nats.Conn, ackWait time.Duration) *heartbeats {
	return &heartbeats{
		nc:        nc,
		ackWait:   ackWait,
		due:       time.NewTicker(ackWait / heartbeatsPerAckWait),
		inbox:     nc.NewInbox(),
		confirmed: make(chan *nats.Msg, 2*heartbeatsPerAckWait),
	}
}

// send sends a heartbeat for each message that is not awaiting its redelivery.
func (b *heartbeats) send(messages iter.Seq[*pending]) error {
	var list []*pending
	for p := range messages {
		if p.state != awaitingRedelivery {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil
	}
	if err := b.subscribe(); err != nil {
		return err
	}
	b.lastRound++
	round := heartbeatRound{number: b.lastRound, sent: lease.Now()}
	last := len(list) - 1
	for _, p := range list[:last] {
		if err := b.nc.Publish(p.delivery.replyTo, inProgress); err != nil {
			return err
		}
		round.leases = append(round.leases, p.lease)
	}
	confirmTo := b.inbox + "." + strconv.FormatUint(round.number, 10)
	if err := b.nc.PublishRequest(list[last].delivery.replyTo, confirmTo, inProgress); err != nil {
		return err
	}
	round.leases = append(round.leases, list[last].lease)
	b.unconfirmed = slices.DeleteFunc(b.unconfirmed, func(r heartbeatRound) bool {
		return round.sent-r.sent > b.ackWait // its confirmation would renew nothing
	})
	b.unconfirmed = append(b.unconfirmed, round)
	return nil
}

func (b *heartbeats) subscribe() (err error) {
	if b.replies == nil {
		b.replies, err = b.nc.ChanSubscribe(b.inbox+".*", b.confirmed)
	}
	return err
}

// confirm takes a reply of the server and renews the leases of its round.
func (b *heartbeats) confirm(m *nats.Msg) {
	if m.Header.Get("Status") != "" {
		return // no responders: the consumer has no leader
	}
	now := lease.Now()
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, b.inbox+"."), 10, 64)
	if err != nil {
		return
	}
	for len(b.unconfirmed) > 0 && b.unconfirmed[0].number <= number {
		round := b.unconfirmed[0]
		b.unconfirmed = b.unconfirmed[1:]
		if round.number != number {
			continue // its confirmation was lost
		}
		for _, l := range round.leases {
			l.Renew(round.sent, now)
		}
	}
}

func (b *heartbeats) stop() {
	b.due.Stop()
	if b.replies != nil {
		_ = b.replies.Unsubscribe() // the connection may be closed
	}
}
