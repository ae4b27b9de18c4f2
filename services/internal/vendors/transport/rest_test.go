package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestRest runs on a clock of its own.
func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r transport.Rest
		refusal := &failure.Error{Kind: failure.Unavailable, Code: "HTTP 401"}
		wantRest := func(after time.Duration) {
			t.Helper()
			if f := failure.Of(r.Enter()); f == nil || f.Code != "HTTP 401" || f.RetryAfter != after {
				t.Fatalf("got %+v, want a rest of %v", f, after)
			}
		}
		wantEntry := func() {
			t.Helper()
			if err := r.Enter(); err != nil {
				t.Fatal(err)
			}
		}
		wantEntry()
		r.Refused(refusal)
		r.Refused(refusal) // was under way together with the first
		wantRest(5 * time.Second)
		time.Sleep(2 * time.Second)
		wantRest(3 * time.Second)
		time.Sleep(3 * time.Second)
		wantEntry()
		wantRest(5 * time.Second) // somebody tries
		r.Unanswered()
		wantEntry()
		for _, rest := range []time.Duration{20 * time.Second, 80 * time.Second, 5 * time.Minute, 5 * time.Minute} {
			if f := r.Refused(refusal); f.RetryAfter != rest || !r.Stands() {
				t.Fatalf("rests for %v, want %v", f.RetryAfter, rest)
			}
			time.Sleep(rest)
			wantEntry()
		}
		r.Accepted()
		wantEntry()
		wantEntry()
		r.Refused(refusal)
		wantRest(5 * time.Second)
		if refusal.RetryAfter != 0 || !r.Stands() {
			t.Error("the caller's failure was changed")
		}
	})
}
