package operation_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/operator"
)

// waits reads how often an operation has published that it waits for its next attempt.
func (env *env) waits(id string, n int) {
	env.Helper()
	seen := 0
	env.await("EVENTS", env.subject(id), func(e event.Event) bool {
		if s, _ := event.StateOf(e); s == event.StateWaiting {
			seen++
		}
		return seen == n
	})
}

func target(id string) operator.Target {
	return operator.Target{OperationID: event.OperationID("contoso", source, id), Tenant: "contoso", Domain: event.DomainDelegation}
}

// TestAWaitThatAPersonEndsIsEndedOnce: an operation that its vendor asked to wait an hour is tried
// at once, and the same request, which a console that was killed may repeat, makes no further
// attempt.
func TestAWaitThatAPersonEndsIsEndedOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if calls.Add(1) < 3 {
			return operation.Reply{}, throttledFor(3600)
		}
		return changed(run)
	})
	env.publish(command("1", valid))
	env.waits("1", 1)
	first := env.retry("1")
	env.waits("1", 2)
	if err := operator.Retry(t.Context(), env.js, first); err != nil { // the wait that it names is over
		t.Fatal(err)
	}
	env.publish(command("2", valid)) // of the same key: behind it
	env.waits("2", 1)
	if _, err := operator.PlanRetry(t.Context(), env.js, target("2")); !refused(err) {
		t.Errorf("one that waits behind another: %v, want a refusal", err)
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls after a repeated request, want 2", n)
	}
	env.retry("1")
	env.outcome("1")
	env.outcome("2")
	if n := calls.Load(); n != 4 {
		t.Errorf("%d calls, want 3 of the first and 1 of the second", n)
	}
	if _, err := operator.PlanRetry(t.Context(), env.js, target("1")); !refused(err) {
		t.Errorf("one that has ended: %v, want a refusal", err)
	}
	if _, err := operator.PlanRetry(t.Context(), env.js, target("never sent")); !refused(err) {
		t.Errorf("one without a record: %v, want a refusal", err)
	}
}

func refused(err error) bool {
	_, ok := errors.AsType[*operator.RefusedError](err)
	return ok
}

// retry ends the wait of a command's operation.
func (env *env) retry(id string) operator.PlannedRetry {
	env.Helper()
	var p operator.PlannedRetry
	env.until("operation "+id+" is parked", func() bool { // its event comes before
		var err error
		p, err = operator.PlanRetry(env.Context(), env.js, target(id))
		return err == nil
	})
	if err := operator.Retry(env.Context(), env.js, p); err != nil {
		env.Fatal(err)
	}
	return p
}
