package worker

import (
	"context"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// Reopen is what a refusal means that may be that of a taken name. Where an earlier call of the
// same operation is open, that call may have taken the name, and the directory may not show it yet:
// the outcome is open again. Where none is open, the refusal stands.
func Reopen(run *operation.Attempt, err error) error {
	if run.Prior == nil {
		return err
	}
	f := failure.Of(err)
	return &failure.Error{
		Kind: failure.Unknown, Vendor: f.Vendor, Code: f.Code, Cause: err,
		Text: f.Text + "; an earlier call, of which nobody knows whether it acted, may have created it",
	}
}

// pauses are those between the attempts to read what was just created: directories lag, mostly by
// less than this.
var pauses = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// ReadBack reads what was just created. What fails in a way that may pass is tried a few times
// more, each after a pause, or after the vendor's Retry-After if that is longer. It gives up at
// once where ctx ends before the next attempt.
func ReadBack[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	for _, pause := range pauses {
		got, err := read(ctx)
		if err == nil || !mayPass(err) || !wait(ctx, max(pause, failure.Of(err).RetryAfter)) {
			return got, err
		}
	}
	return read(ctx)
}

// wait waits, and reports whether ctx allows another attempt afterwards.
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

func mayPass(err error) bool {
	return failure.Is(err, failure.NotFound) || failure.Is(err, failure.Unavailable) || failure.Is(err, failure.Throttled)
}
