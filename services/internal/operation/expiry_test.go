package operation_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// wantExpired waits for the outcome of a command that was not carried out in time.
func (env *env) wantExpired(id string) {
	env.Helper()
	e := env.outcome(id)
	var data event.FailedData
	if err := e.DataAs(&data); err != nil || e.Type() != event.FailedType(env.domain) || data.Failure.Code != operation.Expired || data.Failure.Kind != string(failure.Unavailable) {
		env.Errorf("%s ended as %s: %s %v", id, e.Type(), e.Data(), err)
	}
	if faults := event.Check(e); len(faults) > 0 {
		env.Errorf("%s: %v", id, faults)
	}
}

// TestACommandIsNotBegunAfterItsExpiryTime, whatever it waits for until then.
func TestACommandIsNotBegunAfterItsExpiryTime(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		j.add(run.Command.ID())
		switch {
		case run.Command.ID() == "fails":
			return operation.Reply{}, throttledFor(3600)
		case run.Command.ID() == "head" && run.Operation.Attempt == 1:
			return operation.Reply{}, throttledFor(2)
		}
		return changed(run)
	})
	const soon = time.Second
	past := with("expirytime", at(-soon), on("past", command("past", valid)))
	expires := time.Now().Add(soon)
	fails := with("expirytime", expires.UTC().Format(time.RFC3339Nano), on("fails", command("fails", valid)))
	behind := with("expirytime", at(soon), on("queue", command("behind", valid)))
	inTime := with("expirytime", at(time.Hour), on("queue", command("in time", valid)))
	cancel := with("expirytime", at(-soon), on("cancel", cancelOf("cancel", "fails")))
	for _, m := range []*nats.Msg{past, fails, on("queue", command("head", valid)), behind, inTime, cancel} {
		env.publish(m)
	}
	env.wantExpired("past")
	env.wantExpired("cancel")
	env.wantExpired("fails") // not after an hour
	if now := time.Now(); now.Before(expires) {
		t.Errorf("failed %v too early", expires.Sub(now))
	}
	env.wantExpired("behind")
	env.outcome("in time")
	for id, want := range map[string]int{"past": 0, "fails": 1, "head": 2, "behind": 0, "in time": 1} {
		if got := j.count(id); got != want {
			t.Errorf("%s: %d calls, want %d", id, got, want)
		}
	}
	env.wantHistory("past", "delegation.failed")
	env.wantHistory("fails", "delegation.waiting", "delegation.failed")
	waiting := env.await("EVENTS", env.subject("fails"), func(event.Event) bool { return true })
	var data event.WaitingData
	if err := waiting.DataAs(&data); err != nil || !data.NextAttemptAt.Equal(expires) {
		t.Errorf("next attempt at %v, want %v (%v)", data.NextAttemptAt, expires, err)
	}
	env.nothingParked()
}

// TestWhatMayHaveBeenDoneIsLookedForBeyondTheExpiryTime: it was begun in time.
func TestWhatMayHaveBeenDoneIsLookedForBeyondTheExpiryTime(t *testing.T) {
	t.Parallel()
	const polls = 3
	for name, answer := range map[string]error{"lost": lost, "held for approval": heldForApproval} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expires := time.Now().Add(3 * time.Second)
			var asked, late atomic.Int64
			env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
				NotRepeatable: true,
				LookUp: func(_ context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
					if asked.Load() == 0 || time.Now().Before(expires) || late.Add(1) < polls {
						return operation.Reply{}, false, nil
					}
					result, err := changed(run)
					return result, true, err
				},
				Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
					asked.Add(1)
					return operation.Reply{}, answer
				},
			}, func(c *operation.Config) {
				c.CallTimeout = patience
				slow := operation.Retry{First: time.Second, Max: time.Second, Horizon: time.Hour}
				c.Retries[failure.Unknown], c.Retries[failure.Suspended] = slow, slow
			})
			env.publish(with("expirytime", expires.UTC().Format(time.RFC3339Nano), command("1", valid)))
			if e := env.outcome("1"); e.Type() != event.TypeDelegationChanged || asked.Load() != 1 {
				t.Errorf("asked %d times: %s", asked.Load(), e)
			}
			// Three looks, each 750 ms after the one before at least: the pause is not cut short.
			if took := time.Since(expires); took < 1200*time.Millisecond {
				t.Errorf("looked %d times within %v of the expiry time", late.Load(), took)
			}
		})
	}
}

func TestAnExpiryTimeComesAfterTheNotBefore(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, j.perform)
	const hour, day = "2036-01-02T03:04:05Z", "2036-01-03T03:04:05Z"
	for id, c := range map[string]struct{ from, until string }{"before": {day, hour}, "equal": {hour, hour}} {
		m := with("expirytime", c.until, with("notbefore", c.from, command(id, valid)))
		env.publish(m)
		env.wantRejected(m, "expirytime", "must come after notbefore")
	}
	if got := j.list(); len(got) > 0 {
		t.Errorf("carried out %v", got)
	}
}
