// Package joiners is another team's module: it publishes commands when people join, and tests that
// against the whole of Mailwright in containers. It needs nothing but Docker and the images; the
// team's CI without Docker sets MAILWRIGHT_TEST_BACKEND=embedded, and MAILWRIGHT_BIN to where the
// programs are.
package joiners

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// account is the command by which a joiner gets an account.
func account(name, login string) testkit.Command {
	text := func(s string) []json.RawMessage { return []json.RawMessage{json.RawMessage(fmt.Sprintf("%q", s))} }
	property := func(name, value string) event.Property {
		return event.Property{Name: name, Type: json.RawMessage(`"String"`), Values: text(value)}
	}
	return testkit.NewCommand(event.ObjectCreateData{
		CreateIn: "OU=My Organizational Unit,DC=example,DC=com", ObjectType: "user",
		Properties: []event.Property{property("cn", name), property("sAMAccountName", login), property("userPrincipalName", login)},
	})
}

func TestJoinerGetsAnAccountAndAMailbox(t *testing.T) {
	backend := testkit.Backend(cmp.Or(os.Getenv("MAILWRIGHT_TEST_BACKEND"), string(testkit.Containers)))
	mw := testkit.Start(t, testkit.WithBackend(backend))
	ctx := t.Context()

	// The directory is away for the first call: Mailwright tries again, and creates the account
	// once.
	if err := mw.Vendors.Fail(ctx, testkit.Fault{Vendor: "adaxes", Call: "create-object", Kind: "timeout-after", Count: 1}); err != nil {
		t.Fatal(err)
	}
	joiner := account("Nadia Rahman", "nrahman")
	mailbox := testkit.NewCommand(event.MailboxCreateData{
		DirectoryObject: "CN=Nadia Rahman,OU=My Organizational Unit,DC=example,DC=com", Parameters: event.MailboxParameters{Alias: "nrahman"},
	})
	for _, cmd := range []testkit.Command{joiner, mailbox} {
		if err := mw.Publish(ctx, cmd); err != nil {
			t.Fatal(err)
		}
		outcome, err := mw.AwaitOutcome(ctx, cmd)
		if err != nil || outcome.State != event.StateSucceeded {
			t.Fatal(outcome, err)
		}
	}

	rows, err := mw.AwaitRows(ctx, `SELECT primary_smtp_address FROM mailwright_views.mailboxes WHERE alias = 'nrahman'`)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	calls, err := mw.Vendors.Calls(ctx, "adaxes", "create-object")
	if err != nil {
		t.Fatal(err)
	}
	created := 0
	for _, c := range calls {
		if c.Committed {
			created++
		}
	}
	if created != 1 {
		t.Errorf("the account was created %d times: %+v", created, calls)
	}
}
