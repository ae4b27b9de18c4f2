// Command publisher is another team's program, which needs the packages client and event alone.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	cmd, err := client.New("contoso", "https://itsm.example.com", "42",
		event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"megan.bowen@contoso.com"}})
	if err != nil {
		return err
	}
	receipt, err := client.Send(ctx, js, cmd)
	if err != nil {
		return err
	}
	outcome, err := client.Await(ctx, js, receipt)
	if err != nil {
		return err
	}
	fmt.Println(outcome)
	return nil
}
