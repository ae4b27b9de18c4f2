package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestReadBack runs on a clock of its own.
func TestReadBack(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		failures   int // before the object shows
		kind       failure.Kind
		retryAfter time.Duration
		within     time.Duration
		reads      int
		found      bool
		took       time.Duration
	}{
		"at once":                {0, failure.NotFound, 0, time.Hour, 1, true, 0},
		"lagging":                {2, failure.NotFound, 0, time.Hour, 3, true, 750 * time.Millisecond},
		"away":                   {1, failure.Unavailable, 0, time.Hour, 2, true, 250 * time.Millisecond},
		"never":                  {9, failure.NotFound, 0, time.Hour, 4, false, 1750 * time.Millisecond},
		"refused":                {1, failure.Refused, 0, time.Hour, 1, false, 0},
		"out of time":            {9, failure.NotFound, 0, 300 * time.Millisecond, 2, false, 250 * time.Millisecond},
		"throttled":              {1, failure.Throttled, time.Second, time.Hour, 2, true, time.Second},
		"throttled twice":        {2, failure.Throttled, 7 * time.Second, time.Hour, 3, true, 14 * time.Second},
		"shorter than the pause": {2, failure.Throttled, time.Millisecond, time.Hour, 3, true, 750 * time.Millisecond},
		"away until then":        {1, failure.Unavailable, 3 * time.Second, time.Hour, 2, true, 3 * time.Second},
		"too late":               {1, failure.Throttled, 10 * time.Minute, 3 * time.Minute, 1, false, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.within)
				defer cancel()
				reads, begun := 0, time.Now()
				got, err := ReadBack(ctx, func(context.Context) (string, error) {
					if reads++; reads <= tt.failures {
						return "", &failure.Error{Kind: tt.kind, RetryAfter: tt.retryAfter}
					}
					return "object", nil
				})
				if reads != tt.reads || (err == nil) != tt.found || (got == "object") != tt.found || time.Since(begun) != tt.took {
					t.Errorf("%d reads in %v, %q, %v", reads, time.Since(begun), got, err)
				}
			})
		})
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	taken := &failure.Error{Kind: failure.Refused, Vendor: "v", Code: "taken", Text: "the name is taken"}
	if err := Reopen(&operation.Attempt{}, taken); !failure.Is(err, failure.Refused) {
		t.Errorf("the first call: %v", err)
	}
	f := failure.Of(Reopen(&operation.Attempt{Prior: &operation.PriorCall{}}, taken))
	if f.Kind != failure.Unknown || f.Vendor != "v" || f.Code != "taken" {
		t.Errorf("a repeated call: %v", f)
	}
}
