package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/internal/testprograms"
)

// running is Mailwright with a console, as `mailwright dev` runs it, and with NATS' permissions.
var running *stack.Stack

// binaries is the folder of the programs.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(testprograms.Run(func(bin string) int {
		binaries = bin
		dir, err := os.MkdirTemp("", "mw-console-")
		if err == nil {
			err = os.Chmod(dir, 0o755) // Postgres may run as another user below it
		}
		if err == nil {
			running, err = stack.Start(context.Background(), stack.Options{Dir: dir, Bin: bin, Volatile: true, Permissions: true, Console: true})
		}
		if err == nil {
			err = fill(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := running.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		_ = os.RemoveAll(dir)
		return code
	}))
}

const (
	ticket = "HR-4711"
	// hr is who asks.
	hr = "https://hr.example.com/joiners"
	// sentinel is a text of HTML that no page may take for HTML.
	sentinel = `<b id="injected">Eve</b>`
)

// connect connects as an administrator of NATS.
func connect() (jetstream.JetStream, func(), error) {
	nc, err := nats.Connect(running.Endpoints.NATS)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return js, nc.Close, err
}

// fill carries out commands of every kind and fate: succeeded, failed, rejected, waiting, dead, and
// a delegate that was changed behind our back.
func fill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	js, end, err := connect()
	if err != nil {
		return err
	}
	defer end()
	sandbox := sandboxapi.Client{URL: running.Endpoints.Sandbox}
	refuse := map[string]any{"vendor": "adaxes", "call": "create-object", "match": "Refused", "kind": "status", "params": map[string]any{"status": 403}}
	if err := sandbox.Do(ctx, http.MethodPost, "faults", refuse, nil); err != nil {
		return err
	}
	var ended []client.Receipt
	send := func(await bool, make func() (client.Command, error), subject string) error {
		cmd, err := make()
		if err != nil {
			return err
		}
		cmd.SetSubject(subject)
		event.Extend(&cmd.Event, event.Attribute{Name: event.AttrCorrelationID, Value: ticket})
		receipt, err := client.Send(ctx, js, cmd)
		if err == nil && await {
			ended = append(ended, receipt)
		}
		return err
	}
	for i, name := range []string{"Anna Berg", "Ben Costa", "Refused Dietz", "Refused Ebert", sentinel} {
		id := fmt.Sprint("joiner-", i)
		if err := send(true, func() (client.Command, error) { return client.New(stack.SandboxTenant, hr, id, user(name, i)) }, name); err != nil {
			return err
		}
	}
	if err := send(false, func() (client.Command, error) {
		return client.New(stack.SandboxTenant, hr, "box-1", event.MailboxCreateData{DirectoryObject: "CN=Not Yet,OU=Sales,DC=example,DC=com", Parameters: event.MailboxParameters{Alias: "notyet"}})
	}, "Not Yet"); err != nil {
		return err
	}
	for id, data := range map[string]event.DelegationChangeData{
		"del-1": {Mailbox: "alex@contoso.com", Add: []string{"delegate2@contoso.com"}},
		"del-2": {Mailbox: "nobody@contoso.com"}, // rejected: neither add nor remove
	} {
		if err := send(true, func() (client.Command, error) { return client.New(stack.SandboxTenant, hr, id, data) }, data.Mailbox); err != nil {
			return err
		}
	}
	if err := send(true, func() (client.Command, error) {
		return client.New(stack.SandboxTenant, hr, "inv-1", event.InventorySyncData{})
	}, "inventory"); err != nil {
		return err
	}
	if err := send(true, func() (client.Command, error) {
		return client.New(stack.SandboxTenant, hr, "read-all", event.DelegationReadData{})
	}, "every mailbox"); err != nil {
		return err
	}
	if _, err := js.Publish(ctx, "mailwright.cmd.contoso.mailbox.broken", []byte("this is no event")); err != nil {
		return err
	}
	if err := client.AwaitAll(ctx, js, ended, func(client.Update) {}); err != nil {
		return err
	}
	return drift(ctx, js)
}

func user(name string, i int) event.ObjectCreateData {
	text := func(property, value string) event.Property {
		return event.Property{Name: property, Type: []byte(`"String"`), Values: []json.RawMessage{[]byte(fmt.Sprintf("%q", value))}}
	}
	return event.ObjectCreateData{CreateIn: "OU=My Organizational Unit,DC=example,DC=com", ObjectType: "user", Properties: []event.Property{
		text("cn", strings.NewReplacer("<", "", ">", "", `"`, "", "=", "", "/", "").Replace(name)), text("sAMAccountName", fmt.Sprint("user", i)),
		text("userPrincipalName", fmt.Sprintf("user%d@example.com", i)),
	}}
}

// The sandbox's default seed.
const (
	entraTenant = "3f2c8a10-7d54-4c1b-9e0a-5b6d7c8e9f01"
	entraClient = "a1b2c3d4-0001-4000-8000-000000000001"
)

// drift takes a delegate away at the vendor, as somebody with Exchange's own tools does, and
// has the mailbox read.
func drift(ctx context.Context, js jetstream.JetStream) error {
	exchange := (&clientcredentials.Config{
		ClientID: entraClient, ClientSecret: "entra-sandbox-secret", TokenURL: running.Endpoints.Sandbox + "/entra/" + entraTenant + "/oauth2/v2.0/token",
		Scopes: []string{"https://outlook.office365.com/.default"},
	}).Client(ctx)
	body := `{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"alex@contoso.com","GrantSendOnBehalfTo":{"@odata.type":"#Exchange.GenericHashTable","remove":["delegate2@contoso.com"]}}}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, running.Endpoints.Sandbox+"/exchange/adminapi/v2.0/"+entraTenant+"/Mailbox", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-AnchorMailbox", "UPN:alex@contoso.com")
	res, err := exchange.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(res.Body)
		return fmt.Errorf("Set-Mailbox: %s: %s", res.Status, said)
	}
	cmd, err := client.New(stack.SandboxTenant, "https://hr.example.com/nightly", "read-1", event.DelegationReadData{Mailbox: "alex@contoso.com"})
	if err != nil {
		return err
	}
	receipt, err := client.Send(ctx, js, cmd)
	if err != nil {
		return err
	}
	_, err = client.Await(ctx, js, receipt)
	return err
}
