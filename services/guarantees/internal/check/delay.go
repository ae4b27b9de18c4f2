package check

import (
	"slices"
	"time"
)

// Delay compares how long commands took beside stuck ones with how long as many took undisturbed,
// in the same run. Names are operation ids.
type Delay struct {
	// Alone and Beside are the commands of the two; Stuck those that were published in between.
	Alone, Beside, Slow []string
	// AloneSince and BesideSince are when the first of each was published.
	AloneSince, BesideSince time.Time
}

const (
	// delayFactor and delaySlack bound the time beside stuck commands: what blocks the others lasts
	// longer than both.
	delayFactor = 3
	delaySlack  = 5 * time.Second
)

// Limit is how long commands may take beside stuck ones which take so long alone.
func (d Delay) Limit(alone time.Duration) time.Duration { return delayFactor*alone + delaySlack }

// Took gives how long the commands took, from when the first was published to the last outcome. It
// is false where one has none.
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

// NoDelay is G4: beside stuck commands others take little longer than without them, and every
// command has its outcome.
func (e Evidence) NoDelay(d Delay) (v Violations) {
	final := e.finalStates()
	for _, c := range e.Commands {
		if final[c.OperationID] == "" {
			v.add("operation %s has no outcome", c.OperationID)
		}
	}
	alone, beside, all := d.Took(e.Events)
	if !all {
		v.add("not every command that should be compared has its outcome")
		return v
	}
	if limit := d.Limit(alone); beside > limit {
		v.add("beside stuck commands the others took %v, and %v alone; at most %v are possible", beside, alone, limit)
	}
	during := func(event Event) bool {
		return event.Terminal && slices.Contains(d.Slow, event.OperationID) && event.Stored.Before(d.BesideSince)
	}
	if len(d.Slow) == 0 || slices.ContainsFunc(e.Events, during) {
		v.add("nothing was stuck while the others were published")
	}
	return v
}
