package testkit_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/pkg/topology"
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

	stream, err := mw.JetStream.Stream(ctx, topology.StreamCommands)
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

// here is where these examples run: containers where the suites do so, and the images that were
// built last.
var here = []testkit.Option{testkit.WithBackend(backend), testkit.WithImages(images())}

// Everything that creates a mailbox, and a vendor that answers too late: the mailbox is created
// once, and there is a row of it.
func ExampleRun() {
	ctx := context.Background()
	mw, err := testkit.Run(ctx, append(here, testkit.WithServices("mailbox-svc", "projection-svc"))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = mw.Stop() }()
	fault := testkit.Fault{Vendor: "adaxes", Call: "create-mailbox", Kind: "timeout-after", Count: 1}
	if err := mw.Vendors.Fail(ctx, fault); err != nil {
		fmt.Println(err)
		return
	}

	// In the place of your program:
	cmd := testkit.NewCommand(event.MailboxCreateData{
		DirectoryObject: "CN=Michael Smith,OU=My Organizational Unit,DC=example,DC=com",
		Parameters:      event.MailboxParameters{Alias: "msmith"},
	})
	if err := mw.Publish(ctx, cmd); err != nil {
		fmt.Println(err)
		return
	}

	outcome, err := mw.AwaitOutcome(ctx, cmd)
	fmt.Println(outcome.State, err)
	created, err := testkit.Decode[event.MailboxCreatedData](outcome.Event)
	fmt.Println(created.Mailbox.Alias, err)
	calls, err := mw.Vendors.Calls(ctx, "adaxes", "create-mailbox")
	fmt.Println(len(calls), "call", err)
	rows, err := mw.AwaitRows(ctx, "SELECT alias FROM mailwright_views.mailboxes WHERE alias = $1", "msmith")
	fmt.Println(rows, err)
	// Output:
	// succeeded <nil>
	// msmith <nil>
	// 1 call <nil>
	// [map[alias:msmith]] <nil>
}

// In a test, [testkit.Start] ends what it started with the test, and shows the end of each log
// where the test failed.
func ExampleStart() {
	_ = func(t *testing.T) {
		mw := testkit.Start(t)
		// which your program publishes
		outcome, err := mw.AwaitOutcome(t.Context(), testkit.NewCommand(event.DelegationReadData{}))
		if err != nil || outcome.State != event.StateSucceeded {
			t.Fatal(outcome, err)
		}
	}
}
