// Package failure has the one error type that crosses Mailwright's layers: a closed list of kinds
// and a text that is safe to publish.
//
// A vendor client returns an *[Error]. The operation engine decides by its Kind alone (retry, wait,
// read back, give up); [Meanings] has what it goes by. Some callers ask for single kinds before
// that: whether a name is unknown, or a sign-in was refused. Events, projections and metrics carry
// Kind and Text. An error of another type counts as Internal: its text goes to the log, redacted,
// and never into an event.
package failure

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what a failure means for the operation, never where it came from.
type Kind string

// The closed list of kinds. Each has a row in [Meanings].
const (
	// Invalid: the command itself is wrong; no retry can help.
	Invalid Kind = "invalid"
	// Refused: the vendor understood and said no (rights, policy, a name already taken).
	Refused Kind = "refused"
	// NotFound: the target is not there, or not there yet: directories replicate for
	// up to a day, so this is retried for hours before it is final.
	NotFound Kind = "not-found"
	// Throttled: the vendor asked for less; RetryAfter is when it wants to be asked again.
	Throttled Kind = "throttled"
	// Unavailable: certainly not carried out, or harmless to repeat: the connection
	// failed before the request was sent, the vendor answered 503 to anything but a
	// create, the sign-in failed, or the vendor refused credentials that have expired
	// or were withdrawn, which a person renews.
	Unavailable Kind = "unavailable"
	// Unknown: a write was sent and its answer did not arrive, or does not say whether the
	// vendor acted, as a 5xx to a create: it may have been carried out.
	// It must be read back, never repeated blindly.
	Unknown Kind = "unknown"
	// Suspended: the vendor holds the operation for a person's approval.
	Suspended Kind = "suspended"
	// Internal: a fault of ours, or an answer that we cannot interpret.
	Internal Kind = "internal"
)

// Error is a failure with a decision (Kind) and a publishable explanation (Text).
type Error struct {
	Kind Kind
	// Vendor is the API that failed: "adaxes", "exchangeonline", "hostedexchange",
	// "enpower"; empty for failures of our own.
	Vendor string
	// Code is the vendor's own stable code ("NotFound", "0x80071392", "HTTP 503"), if any.
	Code string
	// Text is one sentence without secrets, server names or stack traces.
	Text string
	// RetryAfter is how long the vendor asked us to wait; 0: it did not say.
	RetryAfter time.Duration
	// RetryFor is how long this failure is worth retrying, counted from the operation's first
	// failed attempt, if that is less than the horizon of its kind; 0: the kind's horizon.
	RetryFor time.Duration
	// Cause is the technical error for the log. It is never published.
	Cause error
}

// New returns an Error without a vendor.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Error gives vendor, code and the safe text, never the cause: a cause may quote the vendor's
// answer.
func (e *Error) Error() string {
	s := string(e.Kind) + ": " + e.Text
	if e.Code != "" {
		s = e.Code + ": " + s
	}
	if e.Vendor != "" {
		s = e.Vendor + ": " + s
	}
	return s
}

// Unwrap returns the cause, so that errors.Is finds context errors and io errors.
func (e *Error) Unwrap() error { return e.Cause }

// Of returns err as an *Error. An error of another type becomes Internal, with a text that shows
// nothing of it; nil stays nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Text: "an internal error; the service's log has the details", Cause: err}
}

// Is reports whether err is an *Error of the given kind.
func Is(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}
