package client

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// Command is a command as its publisher has it: the event, and where it goes. The event's methods
// serve for what is optional:
//
//	cmd.SetExtension(event.AttrCorrelationID, "CHG-17")  // carried through to every result
//	cmd.SetExtension(event.AttrNotBefore, "2026-12-01T06:00:00Z")
//	cmd.SetExtension(event.AttrDryRun, "true")           // the outcome is the plan; nothing is written
type Command struct {
	event.Event
	// Tenant is the name of a configured tenant; "" stands for the event's tenantid.
	Tenant string
	// Domain that carries the command out; "" stands for that of its type. It is needed where the
	// type belongs to every domain: operation.cancel goes to the domain of the operation.
	Domain event.Domain
	// Key: commands with the same tenant, domain and key take effect in the order published. It is
	// any text of up to 1,000 bytes; "" stands for [event.Key], which is recommended.
	Key string
	// Mode of the message; the zero value is binary, with the attributes as headers.
	Mode event.Mode
}

// Data lists the data of commands, one Go type for each type of command.
type Data interface {
	event.ObjectCreateData | event.BusinessUserCreateData | event.MailboxCreateData |
		event.DelegationSetData | event.DelegationChangeData | event.DelegationReadData |
		event.FolderGrantData | event.FolderRevokeData | event.FolderReadData |
		event.InventorySyncData | event.OperationCancelData
}

// New makes the command of a tenant that its data belong to. source names who asks, as a URI
// reference such as https://hr.example.com; id is unique within it, such as the number of a ticket.
// The error is that the data are not JSON, which raw JSON within them may cause.
func New[D Data](tenant, source, id string, data D) (Command, error) {
	e, err := event.New(id, source, typeOf(data), data)
	if err != nil {
		return Command{}, fmt.Errorf("command %s: %w", id, err)
	}
	return Command{Event: e, Tenant: tenant}, nil
}

func typeOf(data any) string {
	switch data.(type) {
	case event.ObjectCreateData:
		return event.TypeObjectCreate
	case event.BusinessUserCreateData:
		return event.TypeBusinessUserCreate
	case event.MailboxCreateData:
		return event.TypeMailboxCreate
	case event.DelegationSetData:
		return event.TypeDelegationSet
	case event.DelegationChangeData:
		return event.TypeDelegationChange
	case event.DelegationReadData:
		return event.TypeDelegationRead
	case event.FolderGrantData:
		return event.TypeFolderGrant
	case event.FolderRevokeData:
		return event.TypeFolderRevoke
	case event.FolderReadData:
		return event.TypeFolderRead
	case event.InventorySyncData:
		return event.TypeInventorySync
	case event.OperationCancelData:
		return event.TypeOperationCancel
	}
	panic(fmt.Sprintf("client: %T is no command's data", data)) // Data lists a type that this does not
}

// OperationID names the operation that the command starts: for a dry run that of the plan.
func (c Command) OperationID() string {
	return event.OperationOf(c.tenant(), c.Event)
}

func (c Command) tenant() string {
	return cmp.Or(c.Tenant, event.Extension(c.Event, event.AttrTenantID))
}

// maxKey keeps the subject, in which a byte of the key may take three, under NATS' limit of
// about 4,000 bytes.
const maxKey = 1000

// addressed gives the command with tenant, domain and key filled in.
func (c Command) addressed() (Command, error) {
	c.Tenant, c.Key = c.tenant(), cmp.Or(c.Key, event.Key(c.Event))
	own := event.DomainOf(c.Type())
	switch id := event.Extension(c.Event, event.AttrTenantID); {
	case c.Tenant == "":
		return c, errors.New("the command names no tenant: give the name of a configured one")
	case !event.ValidTenant(c.Tenant):
		return c, fmt.Errorf("%q is no name of a tenant: it has 1 to 63 characters of a-z, 0-9 and -", c.Tenant)
	case id != "" && id != c.Tenant:
		return c, fmt.Errorf("tenantid is %q, but the command is for tenant %q", id, c.Tenant)
	case own == "" && !event.IsCommand(c.Type()):
		return c, fmt.Errorf("type %s belongs to no domain of Mailwright", c.Type())
	case own == "" && c.Domain == "":
		return c, fmt.Errorf("%s needs a domain: that of the operation", c.Type())
	case own != "" && c.Domain != "" && own != c.Domain:
		return c, fmt.Errorf("%s goes to the domain %s, not to %s", c.Type(), own, c.Domain)
	case c.Key == "":
		return c, fmt.Errorf("%s has nothing to derive a key from; give one", c.Type())
	case len(c.Key) > maxKey:
		return c, fmt.Errorf("the key has %d bytes; %d are allowed", len(c.Key), maxKey)
	}
	c.Domain = cmp.Or(c.Domain, own)
	return c, nil
}

// Message makes the message of a command, and the receipt as far as it is known before the message
// is stored. The error says what is wrong with the event, its tenant, its domain or its key.
//
// The message has no Nats-Msg-Id: a server answers a second message with the same one as though it
// were stored. A command that is published twice is carried out once all the same, since its
// tenant, source and id name its operation.
func (c Command) Message() (*nats.Msg, Receipt, error) {
	c, err := c.addressed()
	if err != nil {
		return nil, Receipt{}, err
	}
	header, body, err := event.Encode(c.Event, c.Mode)
	if err != nil {
		return nil, Receipt{}, err
	}
	id := c.OperationID()
	r := Receipt{
		OperationID: id, Type: c.Type(), Tenant: c.Tenant, Domain: c.Domain, Key: c.Key,
		Subject: topology.CommandSubject(c.Tenant, c.Domain, c.Key), Results: topology.EventSubject(c.Tenant, c.Domain, id), fingerprint: event.Fingerprint(c.Event),
	}
	return &nats.Msg{Subject: r.Subject, Header: header, Data: body}, r, nil
}
