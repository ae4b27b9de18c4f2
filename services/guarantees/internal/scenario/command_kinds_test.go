package scenario

import (
	"slices"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
)

// notAttacked are the types of commands that the workload does not have, each with the reason.
var notAttacked = map[string]string{
	event.TypeDelegationChange: "writes by the call of delegation.set, and is repeatable like it",
	event.TypeFolderGrant:      "is repeatable, as delegation.set is",
	event.TypeFolderRevoke:     "is repeatable, as delegation.set is",
	event.TypeDelegationRead:   "writes nothing; inventory.sync is the reader of the workload",
	event.TypeFolderRead:       "writes nothing",
	event.TypeOperationCancel:  "calls no vendor",
}

// TestEveryTypeOfCommandIsAttacked, or it is said here why not.
func TestEveryTypeOfCommandIsAttacked(t *testing.T) {
	t.Parallel()
	for _, eventType := range event.CommandTypes() {
		attacked := slices.ContainsFunc(commandKinds, func(k commandKind) bool { return k.eventType == eventType })
		if _, excused := notAttacked[eventType]; attacked == excused {
			t.Errorf("%s: in commandKinds %v, in notAttacked %v; it has to be in one of them", eventType, attacked, excused)
		}
	}
}
