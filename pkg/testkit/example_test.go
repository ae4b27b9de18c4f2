package testkit_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// The servers alone: a test of a program that publishes commands looks at what it published.
func ExampleRun_serversAlone() {
	ctx := context.Background()
	mw, err := testkit.Run(ctx, testkit.WithBackend(testkit.Embedded), testkit.WithoutSandbox())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = mw.Stop() }()

	// In the place of your program:
	cmd := testkit.NewCommand(event.InventorySyncData{Tenant: "contoso"})
	if err := mw.Publish(ctx, cmd); err != nil {
		fmt.Println(err)
		return
	}

	stream, err := mw.JetStream.Stream(ctx, bus.Commands)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := stream.GetMsg(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := event.Decode(m.Header, m.Data)
	fmt.Println(e.Type(), string(e.Data()), err)
	// Output: io.mailwright.inventory.sync.v1 {"tenant":"contoso"} <nil>
}

// Everything, and a vendor that answers too late.
func ExampleStart() {
	_ = func(t *testing.T) {
		mw := testkit.Start(t)
		fault := testkit.Fault{Vendor: "adaxes", Call: "create-mailbox", Kind: "timeout-after", Count: 1}
		if err := mw.Vendors.Fail(t.Context(), fault); err != nil {
			t.Fatal(err)
		}
		cmd := testkit.NewCommand(event.MailboxCreateData{
			DirectoryObject: "CN=Michael Smith,OU=My Organizational Unit,DC=example,DC=com",
			Parameters:      event.MailboxParameters{Alias: "msmith"},
		})
		if err := mw.Publish(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		outcome, err := mw.AwaitOutcome(t.Context(), cmd)
		if err != nil || outcome.State != event.Succeeded {
			t.Fatal(outcome, err)
		}
		created, err := testkit.Decode[event.MailboxCreatedData](outcome.Event)
		t.Log(created.Mailbox.PrimarySMTPAddress, err)
	}
}
