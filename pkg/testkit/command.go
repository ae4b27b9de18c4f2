package testkit

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/mailwright/mailwright/pkg/client"
)

// Tenant is the tenant of commands that [NewCommand] makes: the one that the sandbox serves.
const Tenant = "contoso"

// Source is the source of commands that [NewCommand] makes.
const Source = "/testkit"

// Command is a command as its publisher has it: the event, and where it goes.
type Command = client.Command

// NewCommand makes the command that its data belong to, with an id of its own. Change
// it where a test needs another source, id or tenant: cmd.SetID("hr-17"), cmd.Tenant = "fabrikam".
func NewCommand[D client.Data](data D) Command {
	c, err := client.New(Tenant, Source, rand.Text(), data)
	if err != nil {
		panic("testkit: " + err.Error()) // raw JSON within the data is none
	}
	return c
}

// Publish stores commands one after another and returns when the stream has confirmed each. Where
// NATS is away, it waits for it until ctx ends.
func (s *System) Publish(ctx context.Context, commands ...Command) error {
	for _, c := range commands {
		if _, err := client.Send(ctx, s.JetStream, c); err != nil {
			return fmt.Errorf("testkit: command %s: %w", c.ID(), err)
		}
	}
	return nil
}
