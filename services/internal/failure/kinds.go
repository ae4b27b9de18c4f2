package failure

import (
	"errors"
	"slices"
	"time"
)

// Delays are when a failure is tried again: after First, then twice as long each time that it comes
// again, up to Max, until Horizon has passed since the operation's first failure of any kind. The
// zero value is never.
type Delays struct{ First, Max, Horizon time.Duration }

// Meaning is what a kind of failure asks of those who meet it.
type Meaning struct {
	Kind Kind
	// Delays of the operation's next attempts.
	Delays Delays
	// PassesSoon says that a read which met it may succeed seconds later, so that it is repeated
	// within the attempt.
	PassesSoon bool
}

// never is for a kind that is final at once.
var never Delays

const day = 24 * time.Hour

// meanings has every kind, in the order of docs/operations.md. The members have no names here, so
// that nobody adds one without an answer for each kind.
var meanings = []Meaning{
	{Invalid, never, false},
	{Refused, never, false},
	// A directory shows a new object on every controller only after a while; Exchange Online says
	// up to 24 hours.
	{NotFound, Delays{time.Second, 15 * time.Minute, day}, false},
	{Throttled, Delays{time.Second, 5 * time.Minute, day}, true},
	{Unavailable, Delays{500 * time.Millisecond, time.Minute, day}, true},
	{Unknown, Delays{500 * time.Millisecond, 5 * time.Minute, day}, false},
	{Suspended, Delays{5 * time.Second, 5 * time.Minute, 7 * day}, false},
	{Internal, Delays{time.Second, time.Minute, 10 * time.Minute}, false},
}

// Meanings lists every kind, in the order of docs/operations.md.
func Meanings() []Meaning { return slices.Clone(meanings) }

// PassesSoon reports whether a read that failed with err may succeed seconds later.
func PassesSoon(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.ContainsFunc(meanings, func(m Meaning) bool { return m.Kind == e.Kind && m.PassesSoon })
}
