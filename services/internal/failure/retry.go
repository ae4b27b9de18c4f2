package failure

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry calls read until it succeeds, or until it fails in a way that does not pass. Before each
// repetition it waits for a pause, or for the failure's RetryAfter if that is longer. It returns
// the last error if no pause is left, or if ctx would end before the pause does.
func Retry[T any](ctx context.Context, pauses backoff.BackOff, mayPass func(error) bool, read func() (T, error)) (T, error) {
	for {
		got, err := read()
		if err == nil || !mayPass(err) {
			return got, err
		}
		pause := pauses.NextBackOff()
		if pause == backoff.Stop || !wait(ctx, max(pause, Of(err).RetryAfter)) {
			return got, err
		}
	}
}

// wait waits for a time, and reports whether ctx allows another attempt afterwards.
func wait(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
