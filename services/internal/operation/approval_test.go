package operation_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

var heldForApproval = &failure.Error{Kind: failure.Suspended, Vendor: "adaxes", Code: "resultType 2", Text: "the vendor holds the operation for approval"}

// pollSoon asks for what is held after a millisecond, for so long.
func pollSoon(horizon time.Duration) func(*operation.Config) {
	return func(c *operation.Config) {
		c.Retries[failure.Suspended] = operation.Retry{First: time.Millisecond, Max: time.Millisecond, Horizon: horizon}
	}
}

// TestACreateThatIsHeldForApprovalIsAskedForOnce: each further create would file a further request
// for approval.
func TestACreateThatIsHeldForApprovalIsAskedForOnce(t *testing.T) {
	t.Parallel()
	const polls = 5
	for name, c := range map[string]struct {
		lookUp  func(run *operation.Attempt, n int64) (bool, error) // the n-th while it is held
		horizon time.Duration
		state   event.State
		failure event.FailureData
	}{
		"approved": {
			lookUp:  func(_ *operation.Attempt, n int64) (bool, error) { return n > polls, nil },
			horizon: time.Hour, state: event.StateSucceeded,
		},
		"approved while it could not be looked at": {
			lookUp: func(_ *operation.Attempt, n int64) (bool, error) {
				if n <= polls {
					return false, &failure.Error{Kind: failure.Unavailable, Text: "the vendor could not be reached"}
				}
				return true, nil
			},
			horizon: time.Hour, state: event.StateSucceeded,
		},
		"a look-up that panics": {
			lookUp: func(_ *operation.Attempt, n int64) (bool, error) {
				if n == 1 {
					panic("once")
				}
				return n > polls, nil
			},
			horizon: time.Hour, state: event.StateSucceeded,
		},
		"never approved": {
			lookUp:  func(*operation.Attempt, int64) (bool, error) { return false, nil },
			horizon: 20 * time.Millisecond, state: event.StateFailed, failure: event.FailureData{Kind: "suspended"},
		},
		"can not be looked up": {
			lookUp:  func(*operation.Attempt, int64) (bool, error) { return false, operation.ErrCannotLookUp },
			horizon: time.Hour, state: event.StateFailed, failure: event.FailureData{Kind: "unknown", Code: operation.OutcomeUnknown},
		},
		"no rights to look": {
			lookUp:  func(*operation.Attempt, int64) (bool, error) { return false, failure.New(failure.Refused, "no rights") },
			horizon: time.Hour, state: event.StateFailed, failure: event.FailureData{Kind: "unknown", Code: operation.OutcomeUnknown},
		},
		"its tenant is no longer configured": {
			lookUp: func(*operation.Attempt, int64) (bool, error) {
				return false, operation.Reject("tenantid", "is not configured")
			},
			horizon: time.Hour, state: event.StateFailed, failure: event.FailureData{Kind: "unknown", Code: operation.OutcomeUnknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked, looked atomic.Int64
			env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
				NotRepeatable: true, Vendor: "adaxes",
				LookUp: func(_ context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
					if asked.Load() == 0 {
						return operation.Reply{}, false, nil
					}
					if run.Prior == nil || !run.Prior.HeldForApproval {
						t.Error("no prior call is held, although it may have been approved")
					}
					found, err := c.lookUp(run, looked.Add(1))
					result, _ := changed(run)
					return result, found, err
				},
				Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
					asked.Add(1)
					return operation.Reply{}, heldForApproval
				},
			}, pollSoon(c.horizon))
			env.publish(command("1", valid))
			e := env.outcome("1")
			if state, _ := event.StateOf(e); state != c.state || asked.Load() != 1 {
				t.Errorf("ended as %s after asking %d times: %s", state, asked.Load(), e.Data())
			}
			var data event.FailedData
			if err := e.DataAs(&data); err != nil || data.Failure.Kind != c.failure.Kind || data.Failure.Code != c.failure.Code {
				t.Errorf("%+v %v", data.Failure, err)
			}
			if c.failure.Code == operation.OutcomeUnknown {
				env.dead(operation.OutcomeUnknown)
			}
			for _, event := range env.history("1")[2:] {
				if event == "delegation.started" || event == "delegation.unknown" {
					t.Errorf("history %v", env.history("1"))
				}
			}
		})
	}
}
