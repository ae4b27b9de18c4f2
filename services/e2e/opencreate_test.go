package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

const hostedUser = `{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com","userPrincipalName":"open@alpineskihouse.com","preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"planName":"BaseMail"}`

// TestAHostedUserThatWasLeftBehindIsFound has the provisioning system end with its generic error:
// once after it has created the user, whose mailbox failed and whose rollback too, and once with
// nothing left.
func TestAHostedUserThatWasLeftBehindIsFound(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	s.fail(testkit.Fault{Vendor: "hostedexchange", Call: "CreateBusinessUser", Match: "open@", Kind: "partial", Count: 1})
	s.mustPublish(command{"left", event.TypeBusinessUserCreate, "left", hostedUser}.message())
	// This plan is not the organisation's, which the vendor tells by a code that says nothing of
	// what it has left.
	s.mustPublish(command{"nothing", event.TypeBusinessUserCreate, "nothing", strings.NewReplacer("open@", "nothing@", "BaseMail", "PlatinumMail").Replace(hostedUser)}.message())
	e := s.outcome(event.DomainDirectory, "left")
	var data event.BusinessUserCreatedData
	if err := complete(e.DataAs(&data), data.User.GUID, data.User.SAMAccountName); err != nil || stateOf(e) != event.StateSucceeded {
		t.Fatalf("ended as %s: %s, %v", e.Type(), e.Data(), err)
	}
	if len(data.Warnings) != 2 || !strings.Contains(data.Warnings[0].Text, "0x80004005") || !strings.Contains(data.Warnings[1].Text, "no mailbox") || data.Mailbox != nil {
		t.Errorf("%s", e.Data())
	}
	e = s.outcome(event.DomainDirectory, "nothing")
	var failed event.FailedData
	if err := e.DataAs(&failed); err != nil || stateOf(e) != event.StateFailed || failed.Failure.Kind != "refused" || failed.Failure.Code != "0x80070057" {
		t.Errorf("ended as %s: %s, %v", e.Type(), e.Data(), err)
	}
	if calls, err := s.Vendors.Calls(t.Context(), "hostedexchange", "CreateBusinessUser"); err != nil || len(calls) != 2 {
		t.Errorf("sent again: %+v, %v", calls, err)
	}
}

// TestANameThatALostCreateTookIsNoFailure loses a create's answer and has the directory lag for
// longer than the create is looked for: the repeated create meets the name, which must not end the
// operation, and once the directory shows it the object is found.
func TestANameThatALostCreateTookIsNoFailure(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	s.fail(testkit.Fault{Vendor: "adaxes", Call: "create-object", Match: "lagging", Kind: "timeout-after", Count: 1})
	s.fail(testkit.Fault{Vendor: "hostedexchange", Call: "CreateBusinessUser", Match: "open@", Kind: "timeout-after", Count: 1})
	s.set("adaxes.read-lag", "1h")
	s.set("ldap.read-lag", "1h")
	s.mustPublish(command{"object", event.TypeObjectCreate, "object", `{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[
		{"propertyName":"cn","propertyType":"String","values":["Lagging"]},{"propertyName":"sAMAccountName","propertyType":"String","values":["lagging"]},
		{"propertyName":"userPrincipalName","propertyType":"String","values":["lagging"]}]}`}.message())
	s.mustPublish(command{"hosted", event.TypeBusinessUserCreate, "hosted", hostedUser}.message())
	for _, call := range []string{"create-object", "CreateBusinessUser"} {
		s.called(call, 2) // repeated, as nothing shows for so long
	}
	s.set("adaxes.read-lag", "0s")
	s.set("ldap.read-lag", "0s")
	for _, id := range []string{"object", "hosted"} {
		if e := s.outcome(event.DomainDirectory, id); stateOf(e) != event.StateSucceeded {
			t.Errorf("%s ended as %s: %s", id, e.Type(), e.Data())
		}
	}
	for _, call := range []string{"create-object", "CreateBusinessUser"} {
		if committed := s.called(call, 2); committed != 1 {
			t.Errorf("%s took effect %d times", call, committed)
		}
	}
}

// set sets one of the sandbox's switches.
func (s *env) set(name string, value any) {
	s.Helper()
	if err := s.Vendors.Control(s.Context(), http.MethodPut, "switches", map[string]any{name: value}, nil); err != nil {
		s.Fatal(err)
	}
}

// called waits until a call was made so many times, and gives how often it took effect.
func (s *env) called(call string, times int) (committed int) {
	s.Helper()
	s.eventually(func(ctx context.Context) string {
		calls, err := s.Vendors.Calls(ctx, "", call)
		committed = 0
		for _, c := range calls {
			if c.Committed {
				committed++
			}
		}
		if err != nil || len(calls) < times {
			return fmt.Sprintf("%s was called %d times, want %d: %v", call, len(calls), times, err)
		}
		return ""
	})
	return committed
}
