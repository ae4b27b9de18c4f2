package check

import (
	"slices"
	"time"
)

// Delay compares two sets of equally many commands of one run: one alone in the system, the other
// beside slow commands. Commands are named by operation ids.
type Delay struct {
	// Alone and Beside are the two sets. Slow commands were published between them.
	Alone, Beside, Slow []string
	// AloneSince and BesideSince are when the first command of each set was published.
	AloneSince, BesideSince time.Time
}

const (
	// delayFactor and delaySlack bound the time beside slow commands. The calls of the slow ones
	// take longer than this bound, so a command that waits for one of them exceeds it.
	delayFactor = 3
	delaySlack  = 5 * time.Second
)

// Limit bounds the time beside slow commands of a set that takes the given time alone.
func (d Delay) Limit(alone time.Duration) time.Duration { return delayFactor*alone + delaySlack }

// Took measures each set from its first command to its last outcome. all is false if a command has
// no outcome.
func (d Delay) Took(events []Event) (alone, beside time.Duration, all bool) {
	a, ok := lastOutcome(events, d.Alone)
	b, too := lastOutcome(events, d.Beside)
	return a.Sub(d.AloneSince), b.Sub(d.BesideSince), ok && too
}

func lastOutcome(events []Event, of []string) (last time.Time, all bool) {
	left := map[string]bool{}
	for _, id := range of {
		left[id] = true
	}
	for _, event := range events {
		if event.Terminal && left[event.OperationID] {
			delete(left, event.OperationID)
			last = event.Stored
		}
	}
	return last, len(left) == 0 && len(of) > 0
}

// NoDelay judges G4: commands beside slow ones take little longer than alone, and every command has
// its outcome.
func (e Evidence) NoDelay(d Delay) (v Violations) {
	final := e.finalStates()
	for _, c := range e.Commands {
		if final[c.OperationID] == "" {
			v.add("operation %s has no outcome", c.OperationID)
		}
	}
	alone, beside, all := d.Took(e.Events)
	if !all {
		v.add("a command of the comparison has no outcome")
		return v
	}
	if limit := d.Limit(alone); beside > limit {
		v.add("beside slow commands the others took %v, and %v alone; the bound is %v", beside, alone, limit)
	}
	during := func(event Event) bool {
		return event.Terminal && slices.Contains(d.Slow, event.OperationID) && event.Stored.Before(d.BesideSince)
	}
	if len(d.Slow) == 0 || slices.ContainsFunc(e.Events, during) {
		v.add("a slow command ended before the others were published")
	}
	return v
}
