package failure_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/mailwright/mailwright/services/internal/failure"
)

func TestRetry(t *testing.T) {
	t.Parallel()
	passes := &failure.Error{Kind: failure.Unavailable}
	later := &failure.Error{Kind: failure.Throttled, RetryAfter: 10 * time.Second}
	stays := &failure.Error{Kind: failure.Refused}
	for name, c := range map[string]struct {
		answers []error
		timeout time.Duration
		want    error
		calls   int
		took    time.Duration
	}{
		"succeeds at once":             {[]error{nil}, time.Hour, nil, 1, 0},
		"succeeds after two pauses":    {[]error{passes, passes, nil}, time.Hour, nil, 3, 2 * time.Second},
		"waits for Retry-After":        {[]error{later, nil}, time.Hour, nil, 2, 10 * time.Second},
		"does not repeat what stays":   {[]error{passes, stays, nil}, time.Hour, stays, 2, time.Second},
		"ends with ctx":                {[]error{later, nil}, 5 * time.Second, later, 1, 0},
		"ends when no pauses are left": {[]error{passes, passes, passes, passes, nil}, time.Hour, passes, 4, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				calls, began := 0, time.Now()
				mayPass := func(err error) bool { return !failure.Is(err, failure.Refused) }
				_, err := failure.Retry(ctx, &threeSeconds{}, mayPass, func() (int, error) {
					calls++
					return calls, c.answers[calls-1]
				})
				if took := time.Since(began); !errors.Is(err, c.want) || calls != c.calls || took != c.took {
					t.Errorf("got %v after %d calls and %v, want %v after %d and %v", err, calls, took, c.want, c.calls, c.took)
				}
			})
		})
	}
}

// threeSeconds has three pauses of a second.
type threeSeconds struct{ given int }

func (s *threeSeconds) NextBackOff() time.Duration {
	if s.given++; s.given > 3 {
		return backoff.Stop
	}
	return time.Second
}

func (s *threeSeconds) Reset() { s.given = 0 }
