package transport

import (
	"sync"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

// How long credentials that were refused are not sent again. Windows and Adaxes count wrong
// passwords and lock the account, and every waiting command would cost one.
const (
	minRest    = 5 * time.Second
	maxRest    = 5 * time.Minute
	restGrowth = 4
)

// Rest spaces out the attempts to use credentials that a vendor has refused: 5 s after the first
// refusal, then four times as long each time, up to 5 min. After each rest one call tries, and the
// others wait for what comes of it. The zero value is ready. It is safe for concurrent use.
type Rest struct {
	mu      sync.Mutex
	refusal *failure.Error // nil while the credentials are accepted
	pause   time.Duration  // the last one
	until   time.Time
	probing bool          // a call tries whether they are accepted by now
	refused *metrics.Flag // nil before the first refusal
}

// Enter returns the refusal that still stands, with the time until the next attempt as its
// RetryAfter, or nil if a call may be made. After nil the caller must report the result of the call
// by [Rest.Refused], [Rest.Accepted] or [Rest.Unanswered].
func (r *Rest) Enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := time.Until(r.until)
	switch {
	case r.refusal == nil:
		return nil
	case left <= 0 && !r.probing:
		r.probing = true
		return nil
	}
	if left <= 0 { // for what comes of the attempt
		left = minRest
	}
	standing := *r.refusal
	standing.RetryAfter = left
	return &standing
}

// Refused begins the next rest. It returns the refusal with the rest as its RetryAfter.
func (r *Rest) Refused(f *failure.Error) *failure.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal == nil || r.probing { // not for calls that were under way together
		r.pause = min(max(minRest, r.pause*restGrowth), maxRest)
	}
	if r.refused == nil {
		r.refused = metrics.NewFlag(r, metrics.VendorCredentialsRefused.WithLabelValues(f.Vendor))
	}
	r.refused.Set(true)
	r.refusal = f
	r.until = time.Now().Add(r.pause)
	r.probing = false
	standing := *f
	standing.RetryAfter = r.pause
	return &standing
}

// Accepted ends the rest.
func (r *Rest) Accepted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused != nil {
		r.refused.Set(false)
	}
	r.refusal = nil
	r.pause = 0
	r.probing = false
}

// Unanswered says that a call tells nothing of the credentials: the next one may try. After
// [Rest.Refused] it has no effect.
func (r *Rest) Unanswered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probing = false
}

// Stands reports whether the last that the vendor said of the credentials is a refusal.
func (r *Rest) Stands() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refusal != nil
}
