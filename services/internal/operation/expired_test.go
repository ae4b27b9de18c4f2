package operation_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestACommandThatIsGoneWhileItWaitsFails takes a command out of COMMANDS, as its limit of age
// does.
func TestACommandThatIsGoneWhileItWaitsFails(t *testing.T) {
	t.Parallel()
	env := setup(t, func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, throttledFor(1)
	})
	env.publish(command("1", valid))
	env.until("it is parked", env.has(env.stream(topology.StreamParked), topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: "alex"})))
	if err := env.stream(topology.StreamCommands).DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	e := env.outcome("1")
	var data event.FailedData
	if err := e.DataAs(&data); err != nil || data.Failure.Kind != "unavailable" || data.Failure.Code != operation.Expired || data.Operation.CommandType != event.TypeDelegationChange {
		t.Errorf("%s %+v %v", e.Type(), data, err)
	}
	if faults := event.Check(e); len(faults) > 0 || event.Extension(e, event.AttrCommandID) != "1" {
		t.Errorf("%v %s", faults, e)
	}
	if l := env.dead(operation.Expired); l.ID != "1" || l.Sequence != 1 || l.Type != event.TypeDelegationChange || l.OperationID != event.OperationID("contoso", source, "1") {
		t.Errorf("%+v", l)
	}
	env.nothingParked()
}

func TestANotBeforeBeyondWhatCommandsKeepsIsRejected(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	for id, at := range map[string]string{
		"31 days":              time.Now().Add(31 * 24 * time.Hour).UTC().Format(time.RFC3339),
		"the year 10000 (UTC)": "9999-12-31T23:59:59-12:00",
	} {
		m := command(id, valid)
		m.Header["ce-notbefore"] = []string{at}
		env.publish(on(strings.Fields(id)[0], m))
		if e := env.outcome(id); e.Type() != event.RejectedType(event.DomainDelegation) || !strings.Contains(string(e.Data()), "must come within 720h") {
			t.Errorf("%s: %s", id, e)
		}
	}
}

func TestARetryAfterBeyondTheHorizonIsCutShort(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, throttledFor(1 << 30)
	}}, func(c *operation.Config) {
		c.Retries[failure.Throttled] = operation.Retry{First: time.Millisecond, Max: time.Millisecond, Horizon: 50 * time.Millisecond}
	})
	env.publish(command("1", valid))
	if e := env.outcome("1"); e.Type() != event.FailedType(event.DomainDelegation) {
		t.Errorf("%s", e)
	}
	env.wantHistory("1", "delegation.waiting", "delegation.started", "delegation.failed")
}
