// Package event is Mailwright's contract in Go: the CloudEvents envelope with its extension
// attributes, both content modes on NATS messages, the types of commands and results with
// their data, validation against the JSON Schemas, and the identity of an operation.
//
// The schemas module is the source of truth; this package is tested against it.
package event

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// Event is a CloudEvent, as the CloudEvents SDK has it.
type Event = cloudevents.Event

// Extension attributes of the envelope (docs/contract.md).
const (
	AttrTenantID      = "tenantid"      // which configured tenant
	AttrCorrelationID = "correlationid" // carried through unchanged
	AttrCausationID   = "causationid"   // id of the event that caused this one
	AttrTraceParent   = "traceparent"   // W3C Trace Context
	AttrTraceState    = "tracestate"    // W3C Trace Context
	AttrNotBefore     = "notbefore"     // on commands: not carried out before then
	AttrExpiryTime    = "expirytime"    // on commands: not begun after
	AttrDryRun        = "dryrun"        // on commands: "true" answers with the plan and writes nothing
	AttrCommandID     = "commandid"     // on results: id of the command
	AttrCommandSource = "commandsource" // on results: source of the command
	AttrOperationID   = "operationid"   // on results: OperationID of the command
	AttrContentHash   = "contenthash"   // on observations of mailboxes: a hash of the facts
	AttrMailboxList   = "mailboxlist"   // on observations of rooms and equipment: ResourceList
	AttrState         = "state"         // on results: the [State] that the event leaves its operation in
	AttrAuthType      = "authtype"      // what kind of principal is behind it, such as AuthTypeUser
	AttrAuthID        = "authid"        // which principal: personal data
	AttrAuthClaims    = "authclaims"    // what is known of the principal, as JSON: personal data
	AttrMailboxChange = "mailboxchange" // on observations of mailboxes: MailboxNew, MailboxChanged, MailboxReturned or MailboxGone
)

// AuthTypeUser is the value of [AttrAuthType] for a person with an account in the infrastructure.
// cloudevent.json has the others.
const AuthTypeUser = "user"

// MailboxListResource is MailboxList's only value.
const MailboxListResource = "resource"

// OperationID names the operation that the command with this tenant, source and id starts: the
// first 26 characters of lower-case base32 of SHA-256(tenant + "\n" + source + "\n" + id), with
// source and id as the publisher wrote them. Whoever publishes a command therefore knows on which
// subject its results will stand.
func OperationID(tenant, source, id string) string {
	return operationID(tenant + "\n" + source + "\n" + id)
}

// PlanID names the operation of a dry run. It is another than that of the command with the same
// source and id, so that a plan never answers or blocks the command.
func PlanID(tenant, source, id string) string {
	return operationID(tenant + "\n" + source + "\n" + id + "\nplan")
}

// OperationOf names the operation that a command starts which is published for a tenant.
func OperationOf(tenant string, command Event) string {
	if strings.EqualFold(Extension(command, AttrDryRun), "true") {
		return PlanID(tenant, command.Source(), command.ID())
	}
	return OperationID(tenant, command.Source(), command.ID())
}

func operationID(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return lowerBase32.EncodeToString(sum[:])[:26]
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")

// Extension reads an extension attribute as text; "" where it is absent.
func Extension(e Event, name string) string {
	switch v := extensions(e)[name].(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v) // as structured mode may have it
	default:
		return ""
	}
}

// Attribute is an extension attribute.
type Attribute struct{ Name, Value string }

// Principal is who is behind a command, for [Extend]: CloudEvents' extension Auth Context.
func Principal(command Event) []Attribute {
	return []Attribute{
		{AttrAuthType, Extension(command, AttrAuthType)},
		{AttrAuthID, Extension(command, AttrAuthID)},
		{AttrAuthClaims, Extension(command, AttrAuthClaims)},
	}
}

// Extend sets extension attributes, those that have a value, on an event made by [New]. Their names
// are this package's, so they are not checked one by one as the SDK would.
func Extend(e *Event, attributes ...Attribute) {
	c, ok := e.Context.(*cloudevents.EventContextV1)
	if !ok {
		return
	}
	if c.Extensions == nil {
		c.Extensions = make(map[string]any, len(attributes))
	}
	for _, a := range attributes {
		if a.Value != "" {
			c.Extensions[a.Name] = a.Value
		}
	}
}

// extensions gives the map itself, which the SDK would copy at each look.
func extensions(e Event) map[string]any {
	if c, ok := e.Context.(*cloudevents.EventContextV1); ok {
		return c.Extensions
	}
	return e.Extensions()
}

// New returns an event of a type with its data, and with dataschema and content type set.
// data must marshal to JSON: it is one of this package's data types, or raw JSON.
func New(id, source, eventType string, data any) (Event, error) {
	e := cloudevents.New()
	e.SetID(id)
	e.SetSource(source)
	e.SetType(eventType)
	e.SetDataSchema(SchemaURI(eventType))
	if err := e.SetData(cloudevents.ApplicationJSON, data); err != nil {
		return Event{}, err
	}
	return e, nil
}
