package worker

import (
	"context"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// Reopen turns the answer to a repeated create that the name is taken into [failure.Unknown]: the
// prior call, which is in doubt, may be what took the name, and the directory may not show it yet.
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

// readBackPauses are those between the attempts of ReadBack: directories lag, mostly by less than
// this.
var readBackPauses = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// ReadBack reads what was just created, and tries a few times more if a read fails in a way that
// may pass, as long as ctx allows, each time after a pause or the vendor's longer Retry-After.
func ReadBack[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	for _, pause := range readBackPauses {
		got, err := read(ctx)
		if err == nil || !mayPass(err) || !wait(ctx, max(pause, failure.Of(err).RetryAfter)) {
			return got, err
		}
	}
	return read(ctx)
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

func mayPass(err error) bool {
	return failure.Is(err, failure.NotFound) || failure.Is(err, failure.Unavailable) || failure.Is(err, failure.Throttled)
}
