package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// TestACreateThatWaitsForApprovalIsAskedForOnce has Adaxes hold a create for a person's approval, lets it be polled, and approves it.
func TestACreateThatWaitsForApprovalIsAskedForOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.fail(testkit.Fault{Vendor: "adaxes", Call: "create-object", Match: "held", Kind: "suspend"}) // each time that it is asked
	s.mustPublish(command{"held", event.ObjectCreate, "held", `{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[
		{"propertyName":"cn","propertyType":"String","values":["Held"]},{"propertyName":"sAMAccountName","propertyType":"String","values":["held"]},
		{"propertyName":"userPrincipalName","propertyType":"String","values":["held"]}]}`}.message())
	const polled = 3 // attempts, of which the first asked
	s.eventually(func(ctx context.Context) string {
		rows, err := s.rows(ctx, `SELECT operation_id FROM mailwright.operations WHERE state = 'waiting' AND attempts >= $1`, polled)
		if err != nil || len(rows) != 1 {
			return fmt.Sprintf("the create does not wait for its approval, polled: %v, %v", rows, err)
		}
		return ""
	})
	var approvals struct {
		Approvals []struct{ Call, State string }
	}
	if err := s.Vendors.Control(t.Context(), http.MethodGet, "approvals", nil, &approvals); err != nil || len(approvals.Approvals) != 1 {
		t.Fatalf("requests for approval: %+v, %v", approvals, err)
	}
	if err := s.Vendors.Control(t.Context(), http.MethodPost, "approvals/all", map[string]string{"decision": "approve"}, nil); err != nil {
		t.Fatal(err)
	}
	e := s.outcome(event.Directory, "held")
	var data event.ObjectCreatedData
	if err := complete(e.DataAs(&data), data.Object.GUID); err != nil || stateOf(e) != event.Succeeded {
		t.Errorf("ended as %s: %s, %v", e.Type(), e.Data(), err)
	}
	calls, err := s.Vendors.Calls(t.Context(), "adaxes", "create-object")
	if err != nil || len(calls) == 0 {
		t.Errorf("%+v, %v", calls, err)
	}
	for _, call := range calls[1:] {
		if call.Fault != "" {
			t.Errorf("asked again: %+v", call)
		}
	}
}
