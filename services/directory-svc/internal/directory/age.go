package directory

import (
	"time"

	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
)

// age is how old an object is, compared with a command.
type age int

const (
	// ageUnknown: the vendor does not tell, or not exactly enough. It proves nothing: the object is
	// neither taken for this operation's own nor for somebody else's.
	ageUnknown age = iota
	// older: the object was there before the command came, and is somebody else's.
	older
	// notOlder: the object was created after the command came.
	notOlder
)

// clockSkew is by how much a domain controller's clock may lag behind ours; domains keep theirs
// within five minutes.
const clockSkew = 10 * time.Minute

// ageOf compares the time at which an object was created with a command.
func ageOf(run *operation.Attempt, created adaxes.Span) age {
	came := run.Operation.ReceivedAt.Add(-clockSkew)
	switch {
	case created.Earliest.IsZero():
		return ageUnknown
	case created.Latest.Before(came):
		return older
	case created.Earliest.Before(came):
		return ageUnknown
	default:
		return notOlder
	}
}
