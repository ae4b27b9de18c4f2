package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// TestACreateThatWaitsForApprovalIsAskedForOnce has Adaxes hold a create for a person's approval,
// lets it be polled, and approves it.
func TestACreateThatWaitsForApprovalIsAskedForOnce(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	s.fail(testkit.Fault{Vendor: "adaxes", Call: "create-object", Match: "held", Kind: "suspend"}) // each time that it is asked
	s.mustPublish(command{"held", event.TypeObjectCreate, "held", `{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[
		{"propertyName":"cn","propertyType":"String","values":["Held"]},{"propertyName":"sAMAccountName","propertyType":"String","values":["held"]},
		{"propertyName":"userPrincipalName","propertyType":"String","values":["held"]}]}`}.message())
	s.polled("held", 3)
	s.decide("create-object", "approve")
	e := s.outcome(event.DomainDirectory, "held")
	var data event.ObjectCreatedData
	if err := complete(e.DataAs(&data), data.Object.GUID); err != nil || stateOf(e) != event.StateSucceeded {
		t.Errorf("ended as %s: %s, %v", e.Type(), e.Data(), err)
	}
	s.askedOnce("create-object")
}

// TestAMailboxThatWaitsForApprovalIsAskedForOnce has Adaxes hold two mailboxes: one is approved,
// and there; the other is denied, of which nobody is told, so that it goes on waiting until
// somebody cancels it.
func TestAMailboxThatWaitsForApprovalIsAskedForOnce(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	s.fail(testkit.Fault{Vendor: "adaxes", Call: "create-mailbox", Kind: "suspend"}) // each time that it is asked
	mailbox := func(id string) command {
		return command{id, event.TypeMailboxCreate, "michael", `{"directoryObject":"CN=Michael Smith,OU=My Organizational Unit,DC=example,DC=com","mailboxParameters":{"alias":"mike"}}`}
	}
	s.mustPublish(mailbox("denied").message())
	s.polled("denied", 2)
	s.decide("create-mailbox", "deny")
	s.polled("denied", 3)
	s.mustPublish(command{"cancel", event.TypeOperationCancel, "any", fmt.Sprintf(`{"operationId":%q}`, event.OperationID("contoso", source, "denied"))}.in(event.DomainMailbox))
	if e := s.outcome(event.DomainMailbox, "denied"); stateOf(e) != event.StateCancelled {
		t.Errorf("the denied one ended as %s: %s", e.Type(), e.Data())
	}
	s.askedOnce("create-mailbox")

	s.mustPublish(mailbox("approved").message()) // of the same key, which the cancel has freed
	s.polled("approved", 2)
	s.decide("create-mailbox", "approve")
	e := s.outcome(event.DomainMailbox, "approved")
	var data event.MailboxCreatedData
	if err := complete(e.DataAs(&data), data.Mailbox.Alias, data.Mailbox.PrimarySMTPAddress, data.Mailbox.Database); err != nil || stateOf(e) != event.StateSucceeded {
		t.Errorf("the approved one ended as %s: %s, %v", e.Type(), e.Data(), err)
	}
	if calls, err := s.Vendors.Calls(t.Context(), "adaxes", "create-mailbox"); err != nil || len(calls) != 2 {
		t.Errorf("asked %d times: %+v, %v", len(calls), calls, err)
	}
}

// polled waits until a command waits for its approval after so many attempts, of which the first
// asked.
func (s *env) polled(id string, attempts int) {
	s.Helper()
	s.eventually(func(ctx context.Context) string {
		rows, err := s.rows(ctx, `SELECT operation_id FROM mailwright.operations WHERE operation_id = $1 AND state = 'waiting' AND attempts >= $2`, event.OperationID("contoso", source, id), attempts)
		if err != nil || len(rows) != 1 {
			return fmt.Sprintf("%s does not wait for its approval, polled: %v, %v", id, rows, err)
		}
		return ""
	})
}

// decide settles the one request that is pending.
func (s *env) decide(call, decision string) {
	s.Helper()
	var page struct {
		Approvals []struct{ Call, State string }
	}
	if err := s.Vendors.Control(s.Context(), http.MethodGet, "approvals", nil, &page); err != nil {
		s.Fatal(err)
	}
	pending := 0
	for _, a := range page.Approvals {
		if a.Call == call && a.State == "Pending" {
			pending++
		}
	}
	if pending != 1 {
		s.Fatalf("requests for approval: %+v", page)
	}
	if err := s.Vendors.Control(s.Context(), http.MethodPost, "approvals/all", map[string]string{"decision": decision}, nil); err != nil {
		s.Fatal(err)
	}
}

// askedOnce wants the vendor to have been asked for a create once.
func (s *env) askedOnce(call string) {
	s.Helper()
	if calls, err := s.Vendors.Calls(s.Context(), "adaxes", call); err != nil || len(calls) != 1 {
		s.Errorf("asked %d times: %+v, %v", len(calls), calls, err)
	}
}
