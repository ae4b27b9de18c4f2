package worker

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// Reopen turns the answer "name already taken" to a repeated create into [failure.Unknown]. The
// prior call, which is in doubt, may have taken the name, and the directory may not show the object
// yet. So the engine looks it up again.
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

// readBacks is how often ReadBack reads at most. The pauses begin with readBackPause, and each is
// twice as long as the one before. Directories lag, mostly by less than their sum.
const (
	readBacks     = 4
	readBackPause = 250 * time.Millisecond
)

// ReadBack reads what was just created. It reads a few times more, as long as ctx allows, if a read
// fails in a way that may pass.
func ReadBack[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = readBackPause
	pauses.Multiplier = 2
	pauses.RandomizationFactor = 0
	return failure.Retry(ctx, &limited{pauses, readBacks - 1}, mayPass, func() (T, error) { return read(ctx) })
}

// limited ends after so many pauses.
type limited struct {
	backoff.BackOff
	left int
}

// NextBackOff implements [backoff.BackOff].
func (l *limited) NextBackOff() time.Duration {
	if l.left--; l.left < 0 {
		return backoff.Stop
	}
	return l.BackOff.NextBackOff()
}

// mayPass reports whether a read back may succeed yet: a directory lags behind what was created.
func mayPass(err error) bool {
	return failure.Is(err, failure.NotFound) || failure.PassesSoon(err)
}
