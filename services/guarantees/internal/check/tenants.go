package check

import (
	"cmp"
	"path"
)

// UnauthorizedCommand is a command for which its publisher has no right.
type UnauthorizedCommand struct {
	// Kind names what was tried.
	Kind string
	// OperationID is the command's own.
	OperationID string
	// Target is the operation that the command would change; "" for none.
	Target string
}

// TenantsAreApart judges G9, except for the parts that need NATS permissions: an unauthorized
// command is refused and its target succeeds, commands of two tenants with the same source and id
// are two operations, and a scheduled command delays no other.
func (e Evidence) TenantsAreApart() (v Violations) {
	if len(e.Unauthorized) == 0 || len(e.Twins) == 0 || len(e.Scheduled) == 0 {
		v.add("no unauthorized, twin or scheduled command was tried")
	}
	final := e.finalStates()
	for _, t := range e.Unauthorized {
		if state := final[t.OperationID]; state != "rejected" && state != "failed" {
			v.add("%s: operation %s is %s, not refused", t.Kind, t.OperationID, cmp.Or(state, "without outcome"))
		}
		if state := final[t.Target]; t.Target != "" && state != "succeeded" {
			v.add("%s: its target %s is %s, not succeeded", t.Kind, t.Target, cmp.Or(state, "without outcome"))
		}
	}
	for _, twins := range e.Twins {
		for _, id := range twins {
			if twins[0] == twins[1] || final[id] != "succeeded" {
				v.add("operation %s has the source and id of one of another tenant, and is %s", id, cmp.Or(final[id], "without outcome"))
			}
		}
	}
	return append(v, e.delayedByScheduled()...)
}

// delayedByScheduled finds the commands that had their outcome only after a scheduled command of
// the same key, or of a key with the same name in another tenant.
func (e Evidence) delayedByScheduled() (v Violations) {
	outcome := map[string]int{} // by operation: the position of its outcome in the stream
	for at, event := range e.Events {
		if event.Terminal {
			outcome[event.OperationID] = at
		}
	}
	commands := map[string]Command{}
	for _, c := range e.Commands {
		commands[c.OperationID] = c
	}
	for _, id := range e.Scheduled {
		scheduled := commands[id]
		ended := outcome[id]
		behind := 0
		for _, c := range e.Commands {
			sameKey := path.Base(c.Key) == path.Base(scheduled.Key)
			if !sameKey || c.OperationID == id || !c.NotBefore.IsZero() || c.Published.Before(scheduled.Published) {
				continue
			}
			if at, ok := outcome[c.OperationID]; !ok || at > ended {
				v.add("operation %s waited for operation %s, which is not due", c.OperationID, id)
			}
			behind++
		}
		if behind == 0 {
			v.add("no command came behind operation %s, which is not due", id)
		}
	}
	return v
}
