package check

import "time"

const (
	// clockSlack is by how much the clocks of JetStream and of a vendor may differ: they run on one
	// machine.
	clockSlack = 200 * time.Millisecond
	// dueSlack is how long after a command is due it may take to join the queue of its key: a
	// replica that was killed keeps its partition of wake-ups for as long as its lease, and a
	// restart of NATS comes on top of that.
	dueSlack = 30 * time.Second
)

// dueInOrder belongs to G3: a command with notbefore takes no effect before it is due, and none
// that was published well after that takes effect before it. The effects are in the vendor's order.
func (e Evidence) dueInOrder(effects []Effect) (v Violations) {
	published, due := map[string]Command{}, map[string]Command{}
	for _, c := range e.Commands {
		if c.NotBefore.IsZero() {
			published[c.OperationID] = c
		} else {
			due[c.OperationID] = c
		}
	}
	latest := map[string]time.Time{} // of a key, when the last that took effect was published
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
