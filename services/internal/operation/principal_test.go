package operation_test

import (
	"context"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestEveryEventOfAnOperationTellsWhoIsBehindIt: also those that are published when its command was
// not at hand, as at the end by another's cancel.
func TestEveryEventOfAnOperationTellsWhoIsBehindIt(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	principal := map[string]string{"authtype": "app_user", "authid": "dana@contoso.com", "authclaims": `{}`}
	waits := command("waits", valid)
	waits.Header["ce-notbefore"] = []string{time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)}
	rejected := command("rejected", `{}`)
	for name, value := range principal {
		waits.Header["ce-"+name] = []string{value}
		rejected.Header["ce-"+name] = []string{value}
	}
	env.publish(waits)
	env.publish(rejected)
	env.outcome("rejected")
	env.await(topology.StreamEvents, env.subject("waits"), func(e event.Event) bool { return e.Type() == event.WaitingType(event.DomainDelegation) })
	env.publish(cancelOf("cancel", "waits"))
	env.outcome("waits")
	n := 0
	for _, id := range []string{"waits", "rejected"} {
		for _, e := range env.eventsOn(env.subject(id)) {
			n++
			for name, want := range principal {
				if got := event.Extension(e, name); got != want {
					t.Errorf("%s of %s: %s is %q", e.Type(), id, name, got)
				}
			}
		}
	}
	if n != 3 {
		t.Errorf("%d events, want waiting, cancelled and rejected", n)
	}
}
