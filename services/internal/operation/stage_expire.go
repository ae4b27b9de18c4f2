package operation

import (
	"context"
	"errors"
)

// expire fails a command whose expirytime has come before it was begun. If the process dies right
// after it, the message is delivered again.
func (e *Engine) expire(_ context.Context, t *task) (step, error) {
	if !t.priorOpen() && e.hasExpired(t.attempt) {
		return step{}, errExpired
	}
	return step{}, nil
}

// errExpired is the error that a command's expirytime has come before it was begun.
var errExpired = errors.New("the command's expirytime has come before it was begun")

// hasExpired reports whether a command must not be begun any more.
func (e *Engine) hasExpired(a *Attempt) bool {
	return !a.command.ExpiryTime.IsZero() && !e.Now().Before(a.command.ExpiryTime)
}
