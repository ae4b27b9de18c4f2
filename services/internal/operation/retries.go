package operation

import (
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// Retry is when one kind of failure is tried again.
type Retry failure.Delays

// Retries has a [Retry] for every kind that may pass; a kind that is absent is final at once.
type Retries map[failure.Kind]Retry

// DefaultRetries are those of [failure.Meanings].
var DefaultRetries = defaultRetries()

func defaultRetries() Retries {
	retries := Retries{}
	for _, m := range failure.Meanings() {
		if m.Delays != (failure.Delays{}) {
			retries[m.Kind] = Retry(m.Delays)
		}
	}
	return retries
}

func (r Retries) with(over Retries) Retries {
	out := maps.Clone(r)
	maps.Copy(out, over)
	return out
}

// history is what the record says of an operation's attempts so far.
type history struct {
	attempts int
	failure  event.FailureData // of the last attempt; empty: it did not fail
	pause    time.Duration     // between the last attempt and this one
	waited   time.Duration     // since the first failure
}

// next is when the next attempt is to be made.
type next struct {
	again bool // false: never
	after time.Duration
}

// next gives the time of the next attempt. The vendor's own Retry-After wins, within the horizon.
// Delays are spread by a quarter, so that operations that failed together do not come back
// together.
func (r Retries) next(d decision, h history) next {
	if d.action == waitForCall {
		return next{again: true, after: d.after}
	}
	if d.action != retryByKind {
		return next{}
	}
	retry, mayPass := r[d.failure.Kind]
	// The first failure with a code gets another attempt whatever came before it.
	if d.failure.RetryFor > 0 && h.failure.Code == d.failure.Code {
		retry.Horizon = min(retry.Horizon, d.failure.RetryFor)
	}
	if !mayPass || h.waited >= retry.Horizon {
		return next{}
	}
	if d.failure.RetryAfter > 0 { // within the horizon, for a last attempt
		return next{again: true, after: min(d.failure.RetryAfter, retry.Horizon-h.waited)}
	}
	delay := min(retry.First<<min(retry.consecutive(d.failure.Kind, h), 20), retry.Max)
	return next{again: true, after: delay - delay/4 + rand.N(delay/2+1)}
}

// consecutive is how often a kind of failure came in a row before, by how long the operation has
// waited since the last.
func (r Retry) consecutive(kind failure.Kind, h history) int {
	switch {
	case h.failure.Kind == "": // it has waited for a free call, or its process died
		return h.attempts
	// the delays of an outage that has passed must not lengthen this one
	case h.failure.Kind != string(kind), h.pause <= 0:
		return 0
	default:
		return max(0, int(math.Round(math.Log2(float64(h.pause)/float64(r.First))))+1)
	}
}
