// Package check proves the guarantees from evidence alone: what was published, what the streams
// hold, what the vendor's journal says exists, what stands in Postgres and in the logs. It knows
// nothing of how the evidence came about, so a broken system can be shown to it as well as a sound
// one.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/internal/replay"
)

// Command is one command that JetStream confirmed.
type Command struct {
	OperationID string
	// Key is one in a tenant. Its last part, after a "/" if there is one, is the key's token.
	Key string
	// Number is the command's place among those of its key, from 1.
	Number int
	// Twice: it has no place in the order, since it was published under a second key too, or beside
	// the numbered commands of its key.
	Unordered bool
	// Writes: it takes effect at the vendor. Once: it does so once, however often it is tried.
	Writes, NotRepeatable bool
	// Want is the state that it must end in; "" is succeeded.
	Want string
	// Published is when JetStream had confirmed it. NotBefore is its attribute; a command that has
	// one has no Number, and joins its key when it is due.
	Published, NotBefore time.Time
}

// Event is one event of an operation, in the order of the stream.
type Event struct {
	OperationID string
	Type        string
	State       string
	Terminal    bool
	// Stored is when the stream took it in.
	Stored time.Time
}

// Effect is a write that the vendor has carried out, as its journal tells.
type Effect struct {
	OperationID string
	// At numbers effects in the vendor's order.
	At uint64
	// Time is when the vendor was asked.
	Time time.Time
}

// Resent is a command that was sent again after its outcome, when JetStream had forgotten its
// message id.
type Resent struct {
	OperationID string
	// First and Second are the sequences of the two messages in COMMANDS.
	First, Second uint64
}

// Deliveries are how often a consumer has handed out so many messages.
type Deliveries struct {
	Consumer            string
	Messages, Delivered uint64
}

// Point is a step at which a service was to be killed.
type Point struct {
	Service, Step string
	Hit           bool
}

// Text is something that was written somewhere.
type Text struct{ Source, Text string }

// Evidence is everything that a run left behind.
type Evidence struct {
	Commands []Command
	Events   []Event
	Effects  []Effect
	// ReadBack are the operations whose target was read again, since a replica may have written
	// after another had taken over; Drift are those whose result, the last of its key, was found
	// to be another by now.
	ReadBack, Drift map[string]bool
	Resent          []Resent
	// Texts are logs, events, dead letters and rows; Secrets must be in none of them.
	Texts   []Text
	Secrets []string
	// Malformed are messages that nobody can carry out; Dead what DEAD holds.
	Malformed   []Malformed
	DeadLetters []DeadLetter
	Deliveries  []Deliveries
	// Bombs is what messages cost that are made to be expensive.
	Bombs Bombs
	// Unauthorized are commands that reach for what is another's, and Twins pairs of commands of the
	// same source and id in two tenants.
	Unauthorized []UnauthorizedCommand
	Twins        [][2]string
	// Scheduled are commands that stay scheduled until everything else is done.
	Scheduled []string
	// Panics are the lines of logs that tell of a crash of our own.
	Panics []string
	// Rows is how the projections' rows compare with a replay.
	Rows replay.Report
	// Scanned are the mailboxes that the vendor lists, by id, and Told what MAILBOXES says of them.
	Scanned, Observed map[string]string
	// Points are the steps that were walked, and Faults counts what was injected, of each kind that
	// was to be.
	Points []Point
	Faults map[string]int
	// Kills is how many processes were killed, and LeastKills how many were to be.
	Kills, MinKills int
}

// Violations are sentences, one for each breach found.
type Violations []string

func (v *Violations) add(format string, args ...any) { *v = append(*v, fmt.Sprintf(format, args...)) }

// OneOutcome is G1: every acknowledged command has exactly one outcome, and nothing follows it.
func (e Evidence) OneOutcome() (v Violations) {
	outcomes := map[string]int{}
	for _, event := range e.Events {
		if outcomes[event.OperationID] > 0 {
			v.add("operation %s: %s after its outcome", event.OperationID, event.Type)
		}
		if event.Terminal {
			outcomes[event.OperationID]++
		}
	}
	for _, c := range e.Commands {
		if n := outcomes[c.OperationID]; n != 1 {
			v.add("operation %s has %d outcomes", c.OperationID, n)
		}
	}
	if len(e.Resent) == 0 {
		v.add("no command was sent again after its outcome")
	}
	for _, r := range e.Resent {
		if r.First == r.Second {
			v.add("operation %s: its second message was refused, which proves nothing", r.OperationID)
		}
	}
	return v
}

// finalStates gives the state in which each operation has ended.
func (e Evidence) finalStates() map[string]string {
	final := map[string]string{}
	for _, event := range e.Events {
		if event.Terminal {
			final[event.OperationID] = event.State
		}
	}
	return final
}

// OnceAtTheVendor is G2: a command takes effect once; and what its outcome says is so.
func (e Evidence) OnceAtTheVendor() (v Violations) {
	count := map[string]int{}
	for _, effect := range e.Effects {
		count[effect.OperationID]++
	}
	if len(count) == 0 {
		v.add("nothing took effect at the vendor")
	}
	final := e.finalStates()
	for _, c := range e.Commands {
		n, state, want := count[c.OperationID], cmp.Or(final[c.OperationID], "without outcome"), cmp.Or(c.Want, "succeeded")
		switch {
		case c.NotRepeatable && n > 1:
			v.add("operation %s took effect %d times", c.OperationID, n)
		case n > 0 && state != "succeeded":
			v.add("operation %s is %s, but has taken effect", c.OperationID, state)
		case c.Writes && n == 0 && state == "succeeded":
			v.add("operation %s succeeded, but nothing took effect", c.OperationID)
		case state != want:
			v.add("operation %s is %s, not %s", c.OperationID, state, want)
		}
	}
	return v
}

// InventoryIsTrue belongs to G2: MAILBOXES says of each mailbox what the vendor's last scan saw.
func (e Evidence) InventoryIsTrue() (v Violations) {
	if len(e.Scanned) == 0 {
		v.add("the vendor lists no mailbox")
	}
	for id, scanned := range e.Scanned {
		if observed, ok := e.Observed[id]; !ok {
			v.add("mailbox %s is not in MAILBOXES", id)
		} else if observed != scanned {
			v.add("mailbox %s is %q, but MAILBOXES says %q", id, scanned, observed)
		}
	}
	for id := range e.Observed {
		if _, ok := e.Scanned[id]; !ok {
			v.add("mailbox %s is in MAILBOXES, but the vendor does not list it", id)
		}
	}
	return v
}

// InOrder is G3: the commands of a key took effect in the order in which they were published. A
// request that had left a replica before that lost its lease may take effect later: then the
// target was read back, and what does not stand at the end is told as drift.
func (e Evidence) InOrder() (v Violations) {
	commands := map[string]Command{}
	for _, c := range e.Commands {
		commands[c.OperationID] = c
	}
	effects := slices.Clone(e.Effects)
	slices.SortFunc(effects, func(a, b Effect) int { return cmp.Compare(a.At, b.At) })
	highest, final, driftReported := map[string]int{}, map[string]int{}, map[string]bool{}
	for id := range e.Drift {
		driftReported[commands[id].Key] = true
	}
	for _, effect := range effects {
		c := commands[effect.OperationID]
		if c.Unordered || !c.NotBefore.IsZero() {
			continue
		}
		if c.Number < highest[c.Key] && !e.ReadBack[c.OperationID] {
			v.add("key %s: number %d took effect after number %d", c.Key, c.Number, highest[c.Key])
		}
		highest[c.Key], final[c.Key] = max(highest[c.Key], c.Number), c.Number
	}
	for key, n := range final {
		if n < highest[key] && !driftReported[key] {
			v.add("key %s: number %d stands, not number %d, and no drift tells it", key, n, highest[key])
		}
	}
	if len(highest) == 0 {
		v.add("nothing took effect, in whatever order")
	}
	return append(v, e.dueInOrder(effects)...)
}

// MissingAttacks is what the run should have attacked and has not: it proves less than it says.
func (e Evidence) MissingAttacks() (v Violations) {
	for _, p := range e.Points {
		if !p.Hit {
			v.add("%s was not killed at the step %s", p.Service, p.Step)
		}
	}
	for kind, n := range e.Faults {
		if n == 0 {
			v.add("there was no %s", kind)
		}
	}
	if e.Kills < e.MinKills {
		v.add("there were %d kills, not %d", e.Kills, e.MinKills)
	}
	return v
}

// RowsEqualReplay is G5.
func (e Evidence) RowsEqualReplay() (v Violations) {
	rows := int64(0)
	for _, table := range e.Rows.Tables {
		rows += table.Live.Rows
		for _, d := range table.Examples {
			v.add("table %s: %s %v %v", table.Name, d.Kind, d.Key, d.Columns)
		}
		for range table.Differences - len(table.Examples) {
			v.add("table %s: one more row differs", table.Name)
		}
	}
	if rows == 0 {
		v.add("there are no rows to compare")
	}
	return v
}

// NoSecret is G6.
func (e Evidence) NoSecret() (v Violations) {
	if len(e.Texts) == 0 || len(e.Secrets) == 0 {
		v.add("there is nothing to search")
	}
	for _, t := range e.Texts {
		for _, s := range e.Secrets {
			if strings.Contains(t.Text, s) {
				v.add("%s holds a secret", t.Source)
				break
			}
		}
	}
	return v
}

// HostileVendor is what a hostile answer of a vendor led to.
type HostileVendor struct {
	// Tried names the kinds of hostile answers that were served.
	Tried []string
	// Elsewhere counts requests that reached the host to which they pointed.
	Elsewhere int
	// PeakBytes is the service's largest resident memory, and LimitBytes what it may be.
	PeakBytes, LimitBytes int64
	// Unanswered are the operations that have not been told what was wrong.
	Unanswered []string
}

// DidNoHarm is G8.
func (h HostileVendor) DidNoHarm() (v Violations) {
	if len(h.Tried) == 0 {
		v.add("no hostile answer was tried")
	}
	if h.Elsewhere > 0 {
		v.add("%d requests went to another host", h.Elsewhere)
	}
	if h.PeakBytes > h.LimitBytes {
		v.add("the service grew to %d MiB", h.PeakBytes>>20)
	}
	for _, id := range h.Unanswered {
		v.add("operation %s was told nothing", id)
	}
	return v
}
