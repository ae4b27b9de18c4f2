package check

import "time"

const (
	// clockSlack allows for reading the clock twice: JetStream and the vendors run on one machine.
	clockSlack = 200 * time.Millisecond
	// dueSlack bounds the time from notbefore until the command is in the queue of its key. A
	// killed replica holds its partition of wake-ups until its lease ends, and NATS may restart as
	// well.
	dueSlack = 30 * time.Second
)

// dueInOrder judges a part of G3: a command with notbefore takes no effect before that time, and no
// command of its key that was published more than dueSlack later overtakes it. The effects are in
// the vendor's order.
func (e Evidence) dueInOrder(effects []Effect) (v Violations) {
	published := map[string]Command{}
	due := map[string]Command{}
	for _, c := range e.Commands {
		if c.NotBefore.IsZero() {
			published[c.OperationID] = c
		} else {
			due[c.OperationID] = c
		}
	}
	latest := map[string]time.Time{} // by key: when the latest command with an effect was published
	for _, effect := range effects {
		if c, ok := published[effect.OperationID]; ok && !c.Unordered && c.Published.After(latest[c.Key]) {
			latest[c.Key] = c.Published
		}
		c, ok := due[effect.OperationID]
		if !ok {
			continue
		}
		if early := c.NotBefore.Sub(effect.Time); early > clockSlack {
			v.add("operation %s took effect %v before it was due", c.OperationID, early)
		}
		if late := latest[c.Key].Sub(c.NotBefore); late > dueSlack {
			v.add("operation %s took effect after a command of its key that was published %v after it was due", c.OperationID, late)
		}
	}
	return v
}
