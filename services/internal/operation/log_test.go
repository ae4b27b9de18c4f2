package operation_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestLinesLeadToTheOperation: a line about an operation names it, its tenant, correlation and
// trace. No line above debug names the person whom it concerns.
func TestLinesLeadToTheOperation(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	const person = "alex@contoso.com"
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if calls.Add(1) == 1 {
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Vendor: "exchangeonline", Code: "503", Text: person + " cannot be reached"}
		}
		return changed(run)
	})
	m := command("1", `{"mailbox":"alex@contoso.com","add":["megan@contoso.com"]}`)
	m.Subject = topology.CommandSubject("contoso", event.DomainDelegation, person)
	m.Header["ce-correlationid"] = []string{"onboarding-7"}
	m.Header["ce-traceparent"] = []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	env.publish(m)
	env.outcome("1")
	unreadable := command("unreadable", `{}`)
	unreadable.Header.Del("ce-source")
	if _, err := env.js.PublishMsg(t.Context(), unreadable); err != nil {
		t.Fatal(err)
	}
	env.dead(operation.Unreadable)
	env.stop()

	of, attempts := " operation="+event.OperationID("contoso", source, "1"), 0
	for line := range strings.Lines(env.log.String()) {
		if strings.Contains(line, "level=DEBUG") {
			continue
		}
		if strings.Contains(line, person) || strings.Contains(line, "megan@") {
			t.Errorf("a line names a person: %s", line)
		}
		if strings.Contains(line, "msg=attempted") {
			attempts++
			for _, want := range []string{of, " tenant=contoso", " correlation=onboarding-7", " trace=4bf92f3577b34da6a3ce929d0e0e4736"} {
				if !strings.Contains(line, want) {
					t.Errorf("%q is missing in: %s", want, line)
				}
			}
		}
	}
	if attempts != 2 || !strings.Contains(env.log.String(), "kind=unavailable vendor=exchangeonline code=503") || !strings.Contains(env.log.String(), "msg=dead-lettered") {
		t.Errorf("%d attempts in the log:\n%s", attempts, env.log)
	}
}
