package check

import (
	"cmp"
	"slices"
	"time"
)

// Malformed is a message that no service can carry out.
type Malformed struct {
	// Kind names what is wrong with it.
	Kind string
	// Sequence is the message's in COMMANDS; of a reference, that of the command it points to.
	Sequence uint64
	// OperationID, where its envelope can be read.
	OperationID string
	// Want is what it must end in: the reason of a dead letter, or the state of its operation.
	Want string
}

// DeadLetter is a dead letter.
type DeadLetter struct {
	// Sequence is that of the message in COMMANDS.
	Sequence uint64
	Reason   string
}

// maxDeliveries is how often a message may be handed out on average: every kill brings back what
// was in flight.
const maxDeliveries = 10

// NothingVanishes is G7: what is malformed ends as its kind must, nothing crashed on it, and
// nothing was delivered over and over.
func (e Evidence) NothingVanishes() (v Violations) {
	if len(e.Malformed) == 0 {
		v.add("no malformed message was tried")
	}
	final := e.finalStates()
	for _, m := range e.Malformed {
		state := final[m.OperationID]
		if state != m.Want && !slices.Contains(e.DeadLetters, DeadLetter{m.Sequence, m.Want}) {
			v.add("message %d of COMMANDS (%s) did not end as %s: %s, %s", m.Sequence, m.Kind, m.Want, cmp.Or(state, "no outcome"), e.deadLettersOf(m.Sequence))
		}
	}
	for _, line := range e.Panics {
		v.add("crashed: %.200s", line)
	}
	if len(e.Deliveries) == 0 {
		v.add("nobody counted the deliveries")
	}
	for _, d := range e.Deliveries {
		if d.Delivered > maxDeliveries*d.Messages+100 {
			v.add("consumer %s delivered %d messages %d times", d.Consumer, d.Messages, d.Delivered)
		}
	}
	return append(v, e.Bombs.areCheap()...)
}

// deadLettersOf tells the reasons of a message's dead letters.
func (e Evidence) deadLettersOf(sequence uint64) string {
	text := "no dead letter"
	for _, l := range e.DeadLetters {
		if l.Sequence == sequence {
			text = "dead letter " + l.Reason
		}
	}
	return text
}

// Bombs is what messages cost that are made to be expensive to check.
type Bombs struct {
	Messages int
	Bytes    int64
	// CPU is what the service used for them.
	CPU time.Duration
	// Alone is how long a command takes without them, and Behind how long one took that was
	// published after them on another key.
	Alone, Behind time.Duration
}

const (
	// maxBombCPU is what the check of one message may take on a slow machine. Without bounds it
	// takes minutes.
	maxBombCPU = 100 * time.Millisecond
	// maxBehind is how long a command may wait behind a message, on average.
	maxBehind = 100 * time.Millisecond
)

// areCheap belongs to G7.
func (b Bombs) areCheap() (v Violations) {
	n := time.Duration(b.Messages)
	if n == 0 || b.CPU <= 0 || b.Alone <= 0 {
		v.add("what expensive messages cost was not measured")
	}
	if b.CPU > n*maxBombCPU {
		v.add("%d expensive messages took %v of CPU", n, b.CPU)
	}
	if b.Behind > b.Alone+n*maxBehind {
		v.add("a command waited %v behind %d expensive messages, and %v without them", b.Behind, n, b.Alone)
	}
	return v
}
