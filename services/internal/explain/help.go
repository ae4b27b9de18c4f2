package explain

import (
	"cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// circuitOpen is the code of a failure that the circuit breaker of a vendor caused: nothing was
// sent.
const circuitOpen = "circuit-open"

// helpWhileWaiting says what helps an operation that waits after a failure.
func helpWhileWaiting(f event.FailureData) string {
	vendor := cmp.Or(f.Vendor, "the vendor")
	if f.Code == circuitOpen {
		return "the circuit breaker keeps requests from " + vendor + " since its last answers were lost: see that it can be reached, then retry now"
	}
	switch failure.Kind(f.Kind) {
	case failure.NotFound:
		return "check the name of the target; a directory may need a while to show a new one"
	case failure.Throttled:
		return "nothing has to be done: " + vendor + " asked for less; fewer calls at once would help"
	case failure.Unavailable:
		return "see that " + vendor + " can be reached and takes our credentials, then retry now"
	case failure.Suspended:
		return "a person has to approve it at " + vendor + "; if it was denied, cancel it"
	case failure.Internal:
		return "the service's log has the details"
	default:
		return ""
	}
}

// helpAfterFailure says what helps after an operation has failed.
func helpAfterFailure(f event.FailureData) string {
	vendor := cmp.Or(f.Vendor, "the vendor")
	switch f.Code {
	case operation.Expired:
		return "send it again if it is still wanted"
	case operation.OutcomeUnknown:
		return "look at " + vendor + " whether it was carried out, and send a new command if it was not"
	}
	switch failure.Kind(f.Kind) {
	case failure.Invalid:
		return "correct the command, and send it as a new one"
	case failure.Refused:
		return "put right what " + vendor + " refuses (rights, a policy, a name that is taken), then send it again"
	case failure.NotFound:
		return "check the name of the target, then send it again"
	case failure.Suspended:
		return "nobody approved it in time: ask at " + vendor + ", then send it again"
	case failure.Unknown:
		return "look at " + vendor + " whether it was carried out, and send a new command if it was not"
	case failure.Internal:
		return "read the service's log, then send it again"
	default:
		return "see that " + vendor + " works again, then send it again"
	}
}

// HelpAfterDeadLetter says what helps after a message was dead-lettered.
func HelpAfterDeadLetter(reason string) string {
	switch reason {
	case operation.Unreadable:
		return "its publisher corrects it and publishes it again"
	case operation.Conflict:
		return "its source and id belong to another command: publish it under a new id"
	case operation.Expired, operation.ReferenceMismatch:
		return "publish it anew"
	case operation.OutcomeUnknown:
		return "look at the vendor whether it was carried out"
	case operation.RecordUnreadable:
		return "find out which program wrote the last event of its record"
	case operation.AckedWithoutOutcome:
		return "replay it"
	case event.MaxDeliveries, event.Terminated:
		return "find out why, then replay it"
	default:
		return "read the service's log, then replay it"
	}
}
