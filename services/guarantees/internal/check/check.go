// Package check judges the guarantees from evidence alone: the published commands, the streams, the
// vendor's journal, the rows in Postgres and the logs. It does not know how the evidence was made,
// so its tests can show it the evidence of a broken system.
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
	// Key is unique over all tenants: TENANT/TOKEN, or TOKEN in the sandbox's tenant.
	Key string
	// Number counts the commands of the key in the order published, from 1.
	Number int
	// Unordered: the order of the key does not bind the command. It was published under a second
	// key too, or beside the numbered commands of its key.
	Unordered bool
	// Writes: the command changes something at the vendor.
	Writes bool
	// NotRepeatable: a second attempt must not take effect again.
	NotRepeatable bool
	// Want is the state in which the command must end; "" means succeeded.
	Want string
	// Published is when JetStream confirmed the command.
	Published time.Time
	// NotBefore is the command's attribute. A command that has one has no Number: it joins the
	// queue of its key when it is due.
	NotBefore time.Time
}

// Event is one event of an operation, in the order of the stream.
type Event struct {
	OperationID string
	Type        string
	State       string
	Terminal    bool
	// Stored is the stream's timestamp.
	Stored time.Time
}

// Effect is a write in the vendor's journal.
type Effect struct {
	OperationID string
	// At is the sequence in the journal: effects happened in this order.
	At uint64
	// Time is when the vendor received the request.
	Time time.Time
}

// Resent is a command that was published again after its outcome, when JetStream no longer
// remembered its message id.
type Resent struct {
	OperationID string
	// First and Second are the sequences of the two messages in COMMANDS.
	First, Second uint64
}

// Deliveries counts the deliveries of a consumer and the messages that matched its filter.
type Deliveries struct {
	Consumer            string
	Messages, Delivered uint64
}

// Point is a step at which the run tried to kill a service. Hit says whether it did.
type Point struct {
	Service, Step string
	Hit           bool
}

// Text is a text that the system wrote, such as a log, an event or a row.
type Text struct{ Source, Text string }

// Evidence is everything that a run left behind.
type Evidence struct {
	Commands []Command
	Events   []Event
	Effects  []Effect
	// ReadBack are the operations whose target was read again, because a replica may have written
	// it after another replica had taken over.
	ReadBack map[string]bool
	// Drift are the operations whose result no longer stood at the vendor when its target was read.
	Drift  map[string]bool
	Resent []Resent
	// Texts are logs, events, dead letters and rows. None of Secrets may be in them.
	Texts   []Text
	Secrets []string
	// Malformed are the messages that no service can carry out.
	Malformed []Malformed
	// DeadLetters is the content of the stream DEAD.
	DeadLetters []DeadLetter
	Deliveries  []Deliveries
	// Bombs is the measured cost of messages that are made to be expensive.
	Bombs Bombs
	// Unauthorized are commands aimed at operations of another tenant or source.
	Unauthorized []UnauthorizedCommand
	// Twins are pairs of operations: their commands have the same source and id in two tenants.
	Twins [][2]string
	// Scheduled are the operations that stay scheduled until all others have their outcomes.
	Scheduled []string
	// Panics are the log lines of crashes.
	Panics []string
	// Rows compares the projections' rows with a replay.
	Rows replay.Report
	// Scanned are the mailboxes that the vendor lists, by id: "ADDRESS ALIAS".
	Scanned map[string]string
	// Observed is the last observation of each mailbox in MAILBOXES, in the same form.
	Observed map[string]string
	// Points are the steps at which the run tried to kill a service.
	Points []Point
	// Faults counts the injected faults of each kind that the run should have injected.
	Faults map[string]int
	// Kills counts the killed processes; the run should have reached MinKills.
	Kills, MinKills int
}

// Violations are sentences, one for each violation found.
type Violations []string

func (v *Violations) add(format string, args ...any) { *v = append(*v, fmt.Sprintf(format, args...)) }

// OneOutcome judges G1: every command that JetStream confirmed has exactly one outcome, and no
// event follows it.
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

// finalStates gives the state of each operation that has an outcome.
func (e Evidence) finalStates() map[string]string {
	final := map[string]string{}
	for _, event := range e.Events {
		if event.Terminal {
			final[event.OperationID] = event.State
		}
	}
	return final
}

// OnceAtTheVendor judges G2: a command that is not repeatable takes effect once, and each outcome
// agrees with the vendor's journal.
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
		n := count[c.OperationID]
		state := cmp.Or(final[c.OperationID], "without outcome")
		want := cmp.Or(c.Want, "succeeded")
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

// InventoryIsTrue judges a part of G2: the observations in MAILBOXES equal the vendor's last scan.
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

// InOrder judges G3: the commands of a key took effect in the order published. One exception is
// allowed: a replica sent a request before it lost its lease, and the request took effect late.
// Then the target must have been read back, and a result that did not stand in the end must be
// reported as drift.
func (e Evidence) InOrder() (v Violations) {
	commands := map[string]Command{}
	for _, c := range e.Commands {
		commands[c.OperationID] = c
	}
	effects := slices.Clone(e.Effects)
	slices.SortFunc(effects, func(a, b Effect) int { return cmp.Compare(a.At, b.At) })
	// by key: the highest number that took effect, the last one, and whether drift was reported
	highest := map[string]int{}
	final := map[string]int{}
	driftReported := map[string]bool{}
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
		highest[c.Key] = max(highest[c.Key], c.Number)
		final[c.Key] = c.Number
	}
	for key, n := range final {
		if n < highest[key] && !driftReported[key] {
			v.add("key %s: number %d stands, not number %d, and no drift reports it", key, n, highest[key])
		}
	}
	if len(highest) == 0 {
		v.add("nothing took effect, so no order was checked")
	}
	return append(v, e.dueInOrder(effects)...)
}

// MissingAttacks names the attacks that the run should have made and did not: without them it
// proves less than its table says.
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

// RowsEqualReplay judges G5: a replay of the streams gives the rows in Postgres.
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

// NoSecret judges G6: no text of the run holds a secret.
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

// HostileVendor is what the hostile answers of a vendor led to.
type HostileVendor struct {
	// Tried are the kinds of hostile answers that the vendor gave.
	Tried []string
	// Elsewhere counts the requests to another host that the answers caused.
	Elsewhere int
	// PeakBytes is the service's largest resident memory, LimitBytes the bound on it.
	PeakBytes, LimitBytes int64
	// Unanswered names operations without a failure text.
	Unanswered []string
}

// DidNoHarm judges G8: credentials go to no other host, and no answer makes the service read
// without end or use more memory than it may.
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
		v.add("an operation has no failure text: %s", id)
	}
	return v
}
