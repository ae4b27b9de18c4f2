package testkit

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/mailwright/mailwright/pkg/client"
)

// Tenant is the tenant of commands from [NewCommand]: the one that the sandbox serves.
const Tenant = "contoso"

// Source is the CloudEvents source of commands from [NewCommand].
const Source = "/testkit"

// Command is a command before it is published: a CloudEvent, and the parts of its subject.
type Command = client.Command

// NewCommand returns the command for data, with a random id, of [Tenant] and from [Source]. A test
// that needs other values changes them: cmd.SetID("hr-17"), cmd.Tenant = "fabrikam". It panics if
// data holds invalid raw JSON.
func NewCommand[D client.Data](data D) Command {
	c, err := client.New(Tenant, Source, rand.Text(), data)
	if err != nil {
		panic("testkit: " + err.Error())
	}
	return c
}

// Publish stores commands one after another, and returns after the stream has confirmed each. If
// NATS cannot be reached, for example after [System.Kill], it tries again until ctx ends. The error
// is the first of [client.Send], with the id of the command.
func (s *System) Publish(ctx context.Context, commands ...Command) error {
	for _, c := range commands {
		if _, err := client.Send(ctx, s.JetStream, c); err != nil {
			return fmt.Errorf("testkit: command %s: %w", c.ID(), err)
		}
	}
	return nil
}
