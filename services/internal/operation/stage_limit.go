package operation

import "context"

// limit has a call wait for its tenant's and its vendor's concurrency limits, for a short time. If
// the process dies right after it, the message is delivered again.
func (e *Engine) limit(ctx context.Context, t *task) (step, error) {
	end, err := e.budgets.admit(ctx, t.attempt.Tenant, t.handler.Vendor)
	if err != nil {
		return step{}, err
	}
	t.endCall = end
	return step{}, nil
}
