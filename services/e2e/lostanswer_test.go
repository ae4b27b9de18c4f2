package e2e

import (
	"fmt"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// TestAnswerLostAfterTheCreate loses the answer to each kind of create after the vendor has acted:
// the command succeeds with what was read back, and the create is never sent again.
func TestAnswerLostAfterTheCreate(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	for _, f := range []testkit.Fault{
		{Vendor: "adaxes", Call: "create-object", Match: "lost", Kind: "timeout-after", Count: 1},
		{Vendor: "adaxes", Call: "create-mailbox", Match: "michael smith", Kind: "reset", Params: testkit.FaultParams{When: "after"}, Count: 1},
		{Vendor: "hostedexchange", Call: "CreateBusinessUser", Match: "lost@", Kind: "nonjson", Params: testkit.FaultParams{When: "after"}, Count: 1},
	} {
		if err := s.Vendors.Fail(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	const container = "OU=My Organizational Unit,DC=example,DC=com"
	for _, c := range []struct {
		command
		call     string
		complete func(event.Event) error
	}{
		{command{"lost-object", event.TypeObjectCreate, "lost-object", `{"createIn":"` + container + `","objectType":"user","properties":[
			{"propertyName":"cn","propertyType":"String","values":["Lost"]},{"propertyName":"sAMAccountName","propertyType":"String","values":["lost"]},
			{"propertyName":"userPrincipalName","propertyType":"String","values":["lost"]}]}`}, "create-object", func(e event.Event) error {
			var data event.ObjectCreatedData
			return complete(e.DataAs(&data), data.Object.GUID)
		}},
		{command{"lost-mailbox", event.TypeMailboxCreate, "lost-mailbox", `{"directoryObject":"CN=Michael Smith,` + container + `","mailboxParameters":{"alias":"msmith"}}`}, "create-mailbox", func(e event.Event) error {
			var data event.MailboxCreatedData
			return complete(e.DataAs(&data), data.Mailbox.Alias, data.Mailbox.PrimarySMTPAddress, data.Mailbox.Database)
		}},
		{command{"lost-user", event.TypeBusinessUserCreate, "lost-user", `{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com","userPrincipalName":"lost@alpineskihouse.com",
			"preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"planName":"BaseMail"}`}, "CreateBusinessUser", func(e event.Event) error {
			var data event.BusinessUserCreatedData
			err := e.DataAs(&data)
			if data.Mailbox == nil || data.Mailbox.MailStore == nil {
				return fmt.Errorf("no mail store: %s", e.Data())
			}
			return complete(err, data.User.GUID, data.User.SID, data.User.SAMAccountName, data.Mailbox.MailStore.ServerName, data.Mailbox.MailStore.MailStoreName)
		}},
	} {
		t.Run(c.id, func(t *testing.T) {
			s.mustPublish(c.message())
			e := s.outcome(event.DomainOf(c.eventType), c.id)
			if stateOf(e) != event.StateSucceeded {
				t.Fatalf("ended as %s: %s", e.Type(), e.Data())
			}
			if err := c.complete(e); err != nil {
				t.Error(err)
			}
			calls, err := s.Vendors.Calls(t.Context(), "", c.call)
			if err != nil || len(calls) != 1 || !calls[0].Committed {
				t.Errorf("the create was sent %d times: %+v, %v", len(calls), calls, err)
			}
		})
	}
}

// complete reports a value that was not read back.
func complete(err error, values ...string) error {
	for i, v := range values {
		if v == "" && err == nil {
			err = fmt.Errorf("value %d was not read back", i)
		}
	}
	return err
}
