package bus

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/lease"
)

// heartbeats renews the leases of a consumer's messages. The server confirms a +WPI that has a
// reply subject; and it takes those of a consumer in order, so the confirmation of the last one
// sent together is that of all.
//
// What it confirms is that it has heard, not that the message is still ours: it does so too where
// another has the message by then. [lease.Lease.Renew] therefore takes no confirmation that comes
// later than AckWait after the heartbeat before.
type heartbeats struct {
	nc        *nats.Conn
	ackWait   time.Duration
	due       *time.Ticker
	inbox     string
	replies   *nats.Subscription
	confirmed chan *nats.Msg
	number    uint64
	open      []heartbeat // not confirmed, oldest first
}

// heartbeat is what was told to the server at one time.
type heartbeat struct {
	number uint64
	sent   time.Duration
	leases []*lease.Lease
}

// heartbeatsPerAckWait: the first must be confirmed within two thirds of AckWait after the
// message was asked for, and a request for messages may stand for a third of it.
const heartbeatsPerAckWait = 5

func newHeartbeats(nc *nats.Conn, ackWait time.Duration) *heartbeats {
	return &heartbeats{
		nc: nc, ackWait: ackWait, due: time.NewTicker(ackWait / heartbeatsPerAckWait), inbox: nc.NewInbox(),
		confirmed: make(chan *nats.Msg, 2*heartbeatsPerAckWait),
	}
}

// send tells the server that somebody is at work on these messages.
func (b *heartbeats) send(list []*held) (err error) {
	if len(list) == 0 {
		return nil
	}
	if b.replies == nil {
		if b.replies, err = b.nc.ChanSubscribe(b.inbox+".*", b.confirmed); err != nil {
			return err
		}
	}
	b.number++
	next := heartbeat{number: b.number, sent: lease.Now()}
	last := list[len(list)-1]
	for _, h := range list {
		if h != last {
			err = b.nc.Publish(h.d.reply, inProgress)
		} else {
			err = b.nc.PublishRequest(h.d.reply, b.inbox+"."+strconv.FormatUint(next.number, 10), inProgress)
		}
		if err != nil {
			return err
		}
		next.leases = append(next.leases, h.lease)
	}
	// One that was not confirmed within AckWait renews nothing any longer.
	b.open = slices.DeleteFunc(b.open, func(h heartbeat) bool { return next.sent-h.sent > b.ackWait })
	b.open = append(b.open, next)
	return nil
}

// confirm takes an answer of the server's.
func (b *heartbeats) confirm(m *nats.Msg) {
	if m.Header.Get("Status") != "" {
		return // nobody has heard it: the consumer has no leader
	}
	now := lease.Now()
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, b.inbox+"."), 10, 64)
	if err != nil {
		return
	}
	for len(b.open) > 0 && b.open[0].number <= number {
		if b.open[0].number == number {
			for _, l := range b.open[0].leases {
				l.Renew(b.open[0].sent, now)
			}
		}
		b.open = b.open[1:]
	}
}

func (b *heartbeats) stop() {
	b.due.Stop()
	if b.replies != nil {
		_ = b.replies.Unsubscribe() // the connection may be closed
	}
}
