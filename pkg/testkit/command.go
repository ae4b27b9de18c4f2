package testkit

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// Source is the source of commands that [NewCommand] makes.
const Source = "/testkit"

// Command is a command as its publisher has it: the event, and the key that orders it among its domain's.
type Command struct {
	event.Event
	// Key: commands of one domain and key take effect in the order published. [NewCommand] takes it from the data.
	Key string
}

// Data lists the data of commands, one type each.
type Data interface {
	event.ObjectCreateData | event.BusinessUserCreateData | event.MailboxCreateData |
		event.DelegationSetData | event.DelegationChangeData | event.DelegationReadData | event.InventorySyncData
}

// NewCommand makes the command that its data belong to, with an id of its own. Change the event where a test needs
// another source, id or tenant: cmd.SetID("hr-17").
func NewCommand[D Data](data D) Command {
	eventType, key := describe(data)
	e, err := event.New(rand.Text(), Source, eventType, data)
	if err != nil {
		panic("testkit: " + err.Error()) // raw JSON within the data is none
	}
	return Command{Event: e, Key: strings.ToLower(key)}
}

// describe gives the type that data belong to, and what they are about. The commands of one object share a key.
func describe(data any) (eventType, about string) {
	const everything = "all"
	switch d := data.(type) {
	case event.ObjectCreateData:
		return event.ObjectCreate, cmp.Or(property(d, "cn"), property(d, "ou"), property(d, "sAMAccountName"), d.CreateIn)
	case event.BusinessUserCreateData:
		return event.BusinessUserCreate, d.UserPrincipalName
	case event.MailboxCreateData:
		return event.MailboxCreate, d.DirectoryObject
	case event.DelegationSetData:
		return event.DelegationSet, d.Mailbox
	case event.DelegationChangeData:
		return event.DelegationChange, d.Mailbox
	case event.DelegationReadData:
		return event.DelegationRead, cmp.Or(d.Mailbox, everything)
	case event.InventorySyncData:
		return event.InventorySync, cmp.Or(d.Tenant, everything)
	}
	panic(fmt.Sprintf("testkit: %T is no command's data", data)) // Data lists a type that this does not
}

func property(d event.ObjectCreateData, name string) string {
	for _, p := range d.Properties {
		if strings.EqualFold(p.Name, name) && len(p.Values) > 0 {
			return strings.Trim(string(p.Values[0]), `"`)
		}
	}
	return ""
}

// OperationID names the operation that the command starts.
func (c Command) OperationID() string { return event.OperationID(c.Source(), c.ID()) }

// Domain is the domain that carries the command out.
func (c Command) Domain() event.Domain { return event.DomainOf(c.Type()) }

// Publish stores commands one after another and returns when the stream has confirmed each. Where NATS is away, it
// waits for it until ctx ends.
func (s *System) Publish(ctx context.Context, commands ...Command) error {
	for _, c := range commands {
		header, body, err := event.Encode(c.Event, event.Binary)
		if err != nil {
			return fmt.Errorf("testkit: command %s: %w", c.ID(), err)
		}
		// What is asked is part of the id: the stream drops a repetition, but not another command under the same id.
		header.Set(nats.MsgIdHdr, c.OperationID()+"."+event.Fingerprint(c.Event))
		err = s.publish(ctx, &nats.Msg{Subject: bus.CommandSubject(c.Domain(), c.Key), Header: header, Data: body})
		if err != nil {
			return fmt.Errorf("testkit: publish %s: %w", c.ID(), err)
		}
	}
	return nil
}

// confirmation is how long the stream may take to confirm a message until it is sent again. A connection that breaks tells
// nobody who waits for an answer on it.
const confirmation = 2 * time.Second

// publish tries again while NATS does not answer; the stream knows a repetition by its id.
func (s *System) publish(ctx context.Context, m *nats.Msg) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, confirmation)
		_, err := s.JetStream.PublishMsg(attempt, m)
		cancel()
		if err == nil || ctx.Err() != nil || s.NATS.IsConnected() && !errors.Is(err, context.DeadlineExceeded) {
			return errors.Join(err, ctx.Err())
		}
	}
}
