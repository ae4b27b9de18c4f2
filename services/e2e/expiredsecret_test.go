package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// TestAnExpiredSecretIsNoAnswerToACommand: the token endpoint refuses the application; the command
// waits and says what to correct, and succeeds when that is done.
func TestAnExpiredSecretIsNoAnswerToACommand(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	expired := testkit.Fault{Vendor: "entra", Kind: "status", Params: testkit.FaultParams{Status: 401, Body: `{"error":"invalid_client","error_description":"AADSTS7000222: the client secret has expired"}`}}
	if err := s.Vendors.Fail(t.Context(), expired); err != nil {
		t.Fatal(err)
	}
	s.mustPublish(command{"corrected", event.TypeDelegationChange, "adele", `{"mailbox":"adele.vance@contoso.com","add":["delegate1@contoso.com"]}`}.message())
	s.eventually(func(ctx context.Context) string {
		found, err := s.rows(ctx, `SELECT failure_kind || ' ' || failure_code || ' ' || failure_text FROM mailwright_views.operations WHERE operation_id = $1 AND state = 'waiting'`, event.OperationID("contoso", source, "corrected"))
		if err != nil || len(found) != 1 || !strings.HasPrefix(found[0], "unavailable invalid_client ") || !strings.Contains(found[0], "clientSecret") {
			return "an operation that waits for its secret to be replaced"
		}
		return ""
	})
	if err := s.Vendors.Control(t.Context(), http.MethodDelete, "faults", nil, nil); err != nil {
		t.Fatal(err)
	}
	if e := s.outcome(event.DomainDelegation, "corrected"); e.Type() != event.TypeDelegationChanged {
		t.Errorf("it ended as %s: %s", e.Type(), e.Data())
	}
}
