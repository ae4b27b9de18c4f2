package bus

import (
	"iter"
	"time"
)

// fence decides whether a message of a partition may be started or acknowledged by this process.
//
// To own the pin is not enough. The server grants the pin to a new process while messages of the
// old one are unacknowledged. These are redelivered late, behind newer messages of the same key. So
// a process starts nothing until it is exclusive: until it holds every unacknowledged message of
// the consumer itself. It compares the server's NumAckPending with its own pending messages.
//
// From then on it stays exclusive as long as the consumer's delivery numbers follow each other
// without a gap: the server has delivered to nobody else.
//
// fence is pure: it knows no server, and gets the time as an argument.
type fence struct {
	epoch     epoch
	exclusive bool
	// lastDelivery is the consumer's number of the last delivery to this process.
	lastDelivery uint64
	// elsewhere is how many unacknowledged messages were not here at the last check.
	elsewhere int
	nextCheck time.Time
}

// epoch is one uninterrupted pull over one connection. The server may have forgotten what it
// delivered in an earlier one.
type epoch struct {
	number     int
	reconnects uint64 // of the connection when the epoch began
}

// connection is the state of the connection to the server.
type connection struct {
	up         bool
	reconnects uint64 // since the process started
}

// checkInterval is the pause between two checks of a process that is not exclusive.
const checkInterval = 50 * time.Millisecond

// begin starts an epoch, in which this process is not exclusive yet.
func (f *fence) begin(c connection) {
	f.epoch = epoch{f.epoch.number + 1, c.reconnects}
	f.close()
}

// close ends exclusiveness: this process is about to return messages to the server.
func (f *fence) close() { f.exclusive = false }

// observe takes the consumer's number of a delivery. A gap means that another process has received
// a message.
func (f *fence) observe(delivery uint64) {
	if delivery != f.lastDelivery+1 {
		f.exclusive = false
	}
	f.lastDelivery = delivery
}

// checkDue reports whether it is time for [fence.checkExclusive].
func (f *fence) checkDue(now time.Time) bool { return !f.exclusive && !now.Before(f.nextCheck) }

// postponeCheck lets the next check wait for [checkInterval].
func (f *fence) postponeCheck(now time.Time) { f.nextCheck = now.Add(checkInterval) }

// checkExclusive compares the server's NumAckPending, and the stream sequence up to which
// everything is acknowledged, with what is pending here. The process is exclusive if every
// unacknowledged message of the consumer is pending here. Three kinds of pending messages do not
// count:
//   - messages at or below the ack floor: somebody else has acknowledged them, so the server does
//     not count them in NumAckPending;
//   - nacked messages: they may be redelivered to another process;
//   - messages of an earlier epoch: a restarted server may have redelivered them to another
//     process.
func (f *fence) checkExclusive(numAckPending int, ackFloor uint64, messages iter.Seq[*pending]) {
	here, ofThisEpoch := 0, 0
	for p := range messages {
		if p.state == awaitingRedelivery || p.delivery.Sequence <= ackFloor {
			continue
		}
		here++
		if p.epoch == f.epoch {
			ofThisEpoch++
		}
	}
	f.elsewhere = numAckPending - here
	f.exclusive = numAckPending <= ofThisEpoch
}

// leaseValid reports whether no other process can have received a message since it was delivered
// here: the connection did not drop, and a heartbeat was confirmed in time.
//
// Without a valid lease a message must neither be started nor acknowledged. If this process
// acknowledged a message that the server has redelivered, NumAckPending would fall although another
// process has a copy, and checkExclusive there would pass too early.
func (f *fence) leaseValid(p *pending, c connection) bool {
	return c.up && c.reconnects == p.epoch.reconnects && p.lease.Left() > 0
}
