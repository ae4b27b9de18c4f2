// Package check proves the guarantees from evidence alone: what was published, what the streams hold, what the
// vendor's journal says exists, what stands in Postgres and in the logs. It knows nothing of how the
// evidence came about, so a broken system can be shown to it as well as a sound one.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Command is one command that JetStream confirmed.
type Command struct {
	OperationID string
	Key         string
	// Number is the command's place among those of its key, from 1.
	Number int
	// Twice: it was published under a second key too, so it has no place in the order.
	Twice bool
}

// Event is one event of an operation, in the order of the stream.
type Event struct {
	OperationID string
	Type        string
	State       string
	Terminal    bool
}

// Object is what exists at the vendor.
type Object struct {
	// OperationID from the marker attribute.
	OperationID string
	// Created numbers creations in the vendor's order.
	Created int64
	Key     string
	Number  int
}

// Text is something that was written somewhere.
type Text struct{ Where, Text string }

// Evidence is everything that a run left behind.
type Evidence struct {
	Commands []Command
	Events   []Event
	Objects  []Object
	// Texts are logs, events, dead letters and rows; Secrets must be in none of them.
	Texts   []Text
	Secrets []string
	// Poison are the sequences of malformed messages in COMMANDS; Dead the sequences that DEAD refers to.
	Poison []uint64
	Dead   []uint64
	// Panics are the lines of logs that tell of a crash of our own.
	Panics []string
	// Live and Replayed are the projections' rows, as the running service has them and as a replay gives them.
	Live, Replayed map[string][]string
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
	return v
}

// OnceAtTheVendor is G2: no object twice for a command; and what the outcome says is so.
func (e Evidence) OnceAtTheVendor() (v Violations) {
	count := map[string]int{}
	for _, o := range e.Objects {
		count[o.OperationID]++
	}
	final := map[string]string{}
	for _, event := range e.Events {
		if event.Terminal {
			final[event.OperationID] = event.State
		}
	}
	for _, c := range e.Commands {
		n, state := count[c.OperationID], final[c.OperationID]
		switch {
		case n > 1:
			v.add("operation %s: %d objects exist", c.OperationID, n)
		case n == 0 && state == "succeeded":
			v.add("operation %s succeeded, but nothing exists", c.OperationID)
		case n == 1 && state != "succeeded":
			v.add("operation %s is %s, but its object exists", c.OperationID, cmp.Or(state, "without outcome"))
		}
	}
	return v
}

// InOrder is G3: the objects of a key came to be in the order in which their commands were published.
func (e Evidence) InOrder() (v Violations) {
	twice := map[string]bool{}
	for _, c := range e.Commands {
		twice[c.OperationID] = c.Twice
	}
	objects := slices.Clone(e.Objects)
	slices.SortFunc(objects, func(a, b Object) int { return cmp.Compare(a.Created, b.Created) })
	last := map[string]int{}
	for _, o := range objects {
		if twice[o.OperationID] {
			continue
		}
		if o.Number < last[o.Key] {
			v.add("key %s: number %d took effect after number %d", o.Key, o.Number, last[o.Key])
		}
		last[o.Key] = max(last[o.Key], o.Number)
	}
	return v
}

// RowsEqualReplay is G5.
func (e Evidence) RowsEqualReplay() (v Violations) {
	if len(e.Live) == 0 {
		v.add("there are no rows to compare")
	}
	for table, live := range e.Live {
		replayed := e.Replayed[table]
		if len(live) != len(replayed) {
			v.add("table %s: %d rows live, %d replayed", table, len(live), len(replayed))
			continue
		}
		for i := range live {
			if live[i] != replayed[i] {
				v.add("table %s: live %.200s, replayed %.200s", table, live[i], replayed[i])
			}
		}
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
				v.add("%s holds a secret", t.Where)
				break
			}
		}
	}
	return v
}

// NothingVanishes is G7: what is malformed ends in DEAD, and nothing crashed on it.
func (e Evidence) NothingVanishes() (v Violations) {
	if len(e.Poison) == 0 {
		v.add("no malformed message was tried")
	}
	for _, sequence := range e.Poison {
		if !slices.Contains(e.Dead, sequence) {
			v.add("message %d of COMMANDS is neither in DEAD nor anywhere else", sequence)
		}
	}
	for _, line := range e.Panics {
		v.add("crashed: %.200s", line)
	}
	return v
}

// NoDelay is G4: every other operation had its outcome before the stuck one, which was published first.
func (e Evidence) NoDelay(stuck string) (v Violations) {
	over := false
	others := 0
	for _, event := range e.Events {
		switch {
		case event.OperationID == stuck && event.Terminal:
			over = true
		case event.Terminal && over:
			v.add("operation %s had its outcome only after the stuck one", event.OperationID)
		case event.Terminal:
			others++
		}
	}
	if others == 0 {
		v.add("no other operation had its outcome before the stuck one")
	}
	return v
}

// Lure is what a hostile answer of a vendor led to.
type Lure struct {
	// Tried names the kinds of hostile answers that were served.
	Tried []string
	// Elsewhere counts requests that reached the host to which they pointed.
	Elsewhere int
	// PeakBytes is the service's largest resident memory, and LimitBytes what it may be.
	PeakBytes, LimitBytes int64
	// Open are the operations that have not been told what was wrong.
	Open []string
}

// NotLured is G8.
func (l Lure) NotLured() (v Violations) {
	if len(l.Tried) == 0 {
		v.add("no hostile answer was tried")
	}
	if l.Elsewhere > 0 {
		v.add("%d requests went to another host", l.Elsewhere)
	}
	if l.PeakBytes > l.LimitBytes {
		v.add("the service grew to %d MiB", l.PeakBytes>>20)
	}
	for _, id := range l.Open {
		v.add("operation %s was told nothing", id)
	}
	return v
}
