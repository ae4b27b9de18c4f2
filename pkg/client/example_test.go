package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
)

// A program that gives a new colleague a mailbox, and hears what became of it.
func Example() {
	joiner := func(ctx context.Context, natsURL string) error {
		nc, err := nats.Connect(natsURL, nats.MaxReconnects(-1))
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		cmd, err := client.New("contoso", "https://hr.example.com", "joiner-4711", event.MailboxCreateData{
			DirectoryObject: "CN=Michael Smith,OU=My Organizational Unit,DC=example,DC=com",
			Parameters:      event.MailboxParameters{Alias: "msmith"},
		})
		if err != nil {
			return err
		}
		receipt, err := client.Send(ctx, js, cmd)
		if err != nil {
			return err // sending it again is safe
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		outcome, err := client.Await(ctx, js, receipt)
		if errors.Is(err, client.ErrNoOutcome) {
			return fmt.Errorf("operation %s goes on: %w", receipt.OperationID, err) // await it again later
		}
		if err != nil {
			return err
		}
		if outcome.State != event.StateSucceeded {
			return errors.New(outcome.String())
		}
		var created event.MailboxCreatedData
		if err := outcome.Event.DataAs(&created); err != nil {
			return err
		}
		fmt.Println(created.Mailbox.PrimarySMTPAddress)
		return nil
	}
	_ = joiner
}

// The message of a command without publishing it, for example for an outbox.
func ExampleCommand_Message() {
	cmd, err := client.New("contoso", "https://itsm.example.com", "42", event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"megan.bowen@contoso.com"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	cmd.SetExtension(event.AttrCorrelationID, "CHG-17")
	msg, receipt, err := cmd.Message()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(msg.Subject)
	for _, name := range []string{"ce-specversion", "ce-type", "ce-source", "ce-id", "ce-correlationid"} {
		fmt.Println(name+":", msg.Header.Get(name))
	}
	fmt.Println(string(msg.Data))
	fmt.Println("results on", receipt.Results)
	// Output:
	// mailwright.cmd.contoso.delegation.alex%40contoso%2Ecom
	// ce-specversion: 1.0
	// ce-type: io.mailwright.delegation.change.v1
	// ce-source: https://itsm.example.com
	// ce-id: 42
	// ce-correlationid: CHG-17
	// {"mailbox":"alex@contoso.com","add":["megan.bowen@contoso.com"]}
	// results on mailwright.evt.contoso.delegation.dledhykyrcmjfv2k2c4hadmox7
}
