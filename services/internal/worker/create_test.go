package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
)

// TestReadBack runs on a clock of its own.
func TestReadBack(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		failures int // before the object shows
		kind     failure.Kind
		within   time.Duration
		reads    int
		found    bool
	}{
		"at once":     {0, failure.NotFound, time.Hour, 1, true},
		"lagging":     {2, failure.NotFound, time.Hour, 3, true},
		"away":        {1, failure.Unavailable, time.Hour, 2, true},
		"never":       {9, failure.NotFound, time.Hour, 4, false},
		"refused":     {1, failure.Refused, time.Hour, 1, false},
		"out of time": {9, failure.NotFound, 300 * time.Millisecond, 2, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.within)
				defer cancel()
				reads := 0
				got, err := ReadBack(ctx, func(context.Context) (string, error) {
					if reads++; reads <= tt.failures {
						return "", failure.New(tt.kind, "not yet")
					}
					return "object", nil
				})
				if reads != tt.reads || (err == nil) != tt.found || (got == "object") != tt.found {
					t.Errorf("%d reads, %q, %v", reads, got, err)
				}
			})
		})
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	taken := &failure.Error{Kind: failure.Refused, Vendor: "v", Code: "taken", Text: "the name is taken"}
	if err := Reopen(&operation.Run{}, taken); !failure.Is(err, failure.Refused) {
		t.Errorf("the first call: %v", err)
	}
	f := failure.Of(Reopen(&operation.Run{Open: &event.FailureData{}}, taken))
	if f.Kind != failure.Unknown || f.Vendor != "v" || f.Code != "taken" {
		t.Errorf("a repeated call: %v", f)
	}
}
