package operation

import (
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
)

// Retry is how one kind of failure is tried again: after First, then twice as long each time that
// it is met in a row, up to Most, until Horizon has passed since the first failure of any kind.
type Retry struct{ First, Most, Horizon time.Duration }

// Retries says it for every kind that may pass; a kind that is absent is final at once.
type Retries map[failure.Kind]Retry

// DefaultRetries are the horizons of docs/operations.md.
var DefaultRetries = Retries{
	// A directory shows a new object on every controller only after a while; Exchange Online says
	// up to 24 hours.
	failure.NotFound:    {First: time.Second, Most: 15 * time.Minute, Horizon: 24 * time.Hour},
	failure.Throttled:   {First: time.Second, Most: 5 * time.Minute, Horizon: 24 * time.Hour},
	failure.Unavailable: {First: 500 * time.Millisecond, Most: time.Minute, Horizon: 24 * time.Hour},
	failure.Unknown:     {First: 500 * time.Millisecond, Most: 5 * time.Minute, Horizon: 24 * time.Hour},
	failure.Suspended:   {First: 5 * time.Second, Most: 5 * time.Minute, Horizon: 7 * 24 * time.Hour},
	failure.Internal:    {First: time.Second, Most: time.Minute, Horizon: 10 * time.Minute},
}

func (r Retries) with(over Retries) Retries {
	out := maps.Clone(r)
	maps.Copy(out, over)
	return out
}

// next gives the delay before the next attempt; again is false where there is to be none. The
// vendor's own Retry-After wins, within the horizon. Delays are spread by a quarter, so that what
// failed together does not come back together.
func (r Retries) next(f *failure.Error, last *entry, waited time.Duration) (delay time.Duration, again bool) {
	retry, ok := r[f.Kind]
	if !ok || waited >= retry.Horizon {
		return 0, false
	}
	// The first failure with this code gets another attempt whatever came before it.
	if f.RetryFor > 0 && last.failure.Code == f.Code {
		if retry.Horizon = min(retry.Horizon, f.RetryFor); waited >= retry.Horizon {
			return 0, false
		}
	}
	if f.RetryAfter > 0 {
		return min(f.RetryAfter, retry.Horizon-waited), true // for a last attempt
	}
	delay = min(retry.First<<min(retry.met(f.Kind, last), 20), retry.Most)
	return delay - delay/4 + rand.N(delay/2+1), true
}

// met is how often a kind of failure was met in a row before, by how long the operation has waited
// since the last.
func (r Retry) met(kind failure.Kind, last *entry) int {
	pause := last.nextAttempt.Sub(last.written)
	switch {
	case last.failure.Kind == "": // it has waited for its turn, or its process died
		return last.attempt
	// what has passed must not leave this one waiting
	case last.failure.Kind != string(kind), pause <= 0:
		return 0
	default:
		return max(0, int(math.Round(math.Log2(float64(pause)/float64(r.First))))+1)
	}
}
