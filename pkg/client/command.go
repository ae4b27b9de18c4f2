package client

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// Command is a command before it is published: a CloudEvent, and the parts of its subject. Optional
// attributes are set by the event's methods:
//
//	cmd.SetExtension(event.AttrCorrelationID, "CHG-17")  // carried through to every result
//	cmd.SetExtension(event.AttrAuthType, "app_user")     // who is behind it: one of cloudevent.json's
//	cmd.SetExtension(event.AttrAuthID, "dana@contoso.com")
//	cmd.SetExtension(event.AttrNotBefore, "2026-12-01T06:00:00Z")
//	cmd.SetExtension(event.AttrDryRun, "true")           // the outcome is the plan; nothing is written
type Command struct {
	event.Event
	// Tenant is the name of a configured tenant: 1 to 63 characters of a-z, 0-9 and -. "" stands
	// for the event's attribute tenantid.
	Tenant string
	// Domain is the domain that carries the command out. "" stands for the domain of the command
	// type. It must be given for operation.cancel, whose domain is that of the operation to cancel.
	Domain event.Domain
	// Key orders commands: those with the same tenant, domain and key take effect in the order
	// published. It is any text of 1 to 1,000 bytes. "" stands for [event.Key], the recommended
	// key.
	Key string
	// Mode is the CloudEvents content mode. The zero value is binary: the attributes are headers.
	Mode event.Mode
	// Sealer seals the command's secrets, where it has any: sealed.Sealer{} of package pkg/sealed.
	// nil: they stay as they are, and where the tenant has published keys to seal them to, [Send]
	// returns [ErrNoSealer].
	Sealer Sealer
}

// Data is the data types of commands, one for each command type.
type Data interface {
	event.ObjectCreateData | event.BusinessUserCreateData | event.MailboxCreateData |
		event.DelegationSetData | event.DelegationChangeData | event.DelegationReadData |
		event.FolderGrantData | event.FolderRevokeData | event.FolderReadData |
		event.InventorySyncData | event.OperationCancelData
}

// New returns the command for data, of the type that belongs to D. source is a URI reference that
// names the publisher, such as https://hr.example.com. id must be unique within source, such as the
// number of a ticket. The error is that data cannot be encoded as JSON, which invalid raw JSON in
// it causes.
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

// OperationID is the id of the operation that the command starts, 26 characters: see
// [event.OperationOf]. A dry run is an operation of its own.
func (c Command) OperationID() string {
	return event.OperationOf(c.tenant(), c.Event)
}

func (c Command) tenant() string {
	return cmp.Or(c.Tenant, event.Extension(c.Event, event.AttrTenantID))
}

// maxKey bounds the key, in bytes. Each byte may take three in the subject, which NATS limits to
// about 4,000 bytes.
const maxKey = 1000

// addressed returns the command with tenant, domain and key filled in. The error says what is
// missing or invalid.
func (c Command) addressed() (Command, error) {
	c.Tenant = c.tenant()
	c.Key = cmp.Or(c.Key, event.Key(c.Event))
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

// Message returns the NATS message of a command, and its receipt without the sequence. The error
// says what is wrong with the event, its tenant, its domain or its key; nothing was published.
//
// The message has no header Nats-Msg-Id: for a second message with the same id, a server confirms
// the storing without storing it. A command that is published twice is carried out once anyway,
// since tenant, source and id identify its operation.
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
		Subject:     topology.CommandSubject(c.Tenant, c.Domain, c.Key),
		Results:     topology.EventSubject(c.Tenant, c.Domain, id),
		fingerprint: event.Fingerprint(c.Event),
	}
	return &nats.Msg{Subject: r.Subject, Header: header, Data: body}, r, nil
}
