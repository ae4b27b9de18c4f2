package check

import (
	"cmp"
	"slices"
	"time"
)

// Malformed is a message that no service can carry out.
type Malformed struct {
	// Kind names the fault of the message.
	Kind string
	// Sequence is the message's in COMMANDS; of a reference, that of the command that it refers to.
	Sequence uint64
	// OperationID is "" where the envelope cannot be read.
	OperationID string
	// Want is the expected end: the reason of a dead letter, or the state of the operation.
	Want string
	// Or is another expected end; "": there is none.
	Or string
}

// isEnd reports whether a message ended as it must: by the state of its operation, or as a dead
// letter.
func (m Malformed) isEnd(e Evidence, state string) bool {
	for _, want := range []string{m.Want, m.Or} {
		if want != "" && (state == want || slices.Contains(e.DeadLetters, DeadLetter{m.Sequence, want})) {
			return true
		}
	}
	return false
}

// DeadLetter is a message of DEAD.
type DeadLetter struct {
	// Sequence is that of the dead-lettered message in COMMANDS.
	Sequence uint64
	Reason   string
}

// maxDeliveries bounds the average number of deliveries of a message. Every kill causes
// redeliveries of the messages in flight.
const maxDeliveries = 10

// NothingVanishes judges G7: every malformed message ends as its kind must, no process crashed, and
// no message was delivered over and over.
func (e Evidence) NothingVanishes() (v Violations) {
	if len(e.Malformed) == 0 {
		v.add("no malformed message was tried")
	}
	final := e.finalStates()
	for _, m := range e.Malformed {
		state := final[m.OperationID]
		if !m.isEnd(e, state) {
			v.add("message %d of COMMANDS (%s) did not end as %s: %s, %s",
				m.Sequence, m.Kind, m.Want, cmp.Or(state, "no outcome"), e.deadLettersOf(m.Sequence))
		}
	}
	for _, line := range e.Panics {
		v.add("crashed: %.200s", line)
	}
	if len(e.Deliveries) == 0 {
		v.add("the deliveries were not counted")
	}
	for _, d := range e.Deliveries {
		if d.Delivered > maxDeliveries*d.Messages+100 {
			v.add("consumer %s delivered %d messages %d times", d.Consumer, d.Messages, d.Delivered)
		}
	}
	return append(v, e.Bombs.areCheap()...)
}

// deadLettersOf describes the last dead letter of a message of COMMANDS.
func (e Evidence) deadLettersOf(sequence uint64) string {
	text := "no dead letter"
	for _, l := range e.DeadLetters {
		if l.Sequence == sequence {
			text = "dead letter " + l.Reason
		}
	}
	return text
}

// Bombs is the measured cost of messages that are made to be expensive to check.
type Bombs struct {
	Messages int
	Bytes    int64
	// CPU is the processor time that the service used for them.
	CPU time.Duration
	// Alone is the time from a command to its outcome without bombs. Behind is that of a command
	// which was published after the bombs, on another key.
	Alone, Behind time.Duration
}

const (
	// maxBombCPU bounds the processor time for one message, on average and on a slow machine.
	// Without bounds one message takes minutes.
	maxBombCPU = 100 * time.Millisecond
	// maxBehind bounds how long a command waits behind one message, on average.
	maxBehind = 100 * time.Millisecond
)

// areCheap judges a part of G7: an expensive message delays no other.
func (b Bombs) areCheap() (v Violations) {
	n := time.Duration(b.Messages)
	if n == 0 || b.CPU <= 0 || b.Alone <= 0 {
		v.add("the cost of expensive messages was not measured")
	}
	if b.CPU > n*maxBombCPU {
		v.add("%d expensive messages took %v of CPU", n, b.CPU)
	}
	if b.Behind > b.Alone+n*maxBehind {
		v.add("a command waited %v behind %d expensive messages, and %v without them", b.Behind, n, b.Alone)
	}
	return v
}
