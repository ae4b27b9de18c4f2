// Package operation is the life of an operation: what happens between a command on COMMANDS and its
// outcome on EVENTS, the same for every service.
//
//	received → (started | waiting | unknown)* → succeeded | failed | rejected | cancelled
//
// The event stream is the record. An operation's events share one subject, and each is published
// under the condition that the subject still ends where this replica read it, so a command has
// exactly one outcome however many replicas try and however often it is delivered.
//
// A command goes through the stages of pipeline.go, whether it comes from COMMANDS or from PARKED.
// Each stage has a file, stage_….go. A service brings a [Handler] for each type of command. The
// error that the handler returns is the decision: see [failure.Kind] and decide.go.
// docs/operations.md tells the whole life on one page.
package operation

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// Handler carries out one type of command at its vendor. Its functions return *[Rejection] for a
// command that is wrong beyond its schema, and *failure.Error for everything else that went wrong.
type Handler struct {
	// Vendor names the API that is called, for its budget.
	Vendor string
	// Perform carries the command out and returns the success to publish. It is called again after
	// each failure that may pass, in another replica perhaps.
	Perform func(ctx context.Context, run *Attempt) (Reply, error)
	// NotRepeatable says that performing twice would do it twice: a create. Such a call is
	// announced in the record before it is made, and repeated only after LookUp has not found what
	// an earlier call did.
	NotRepeatable bool
	// LookUp reads back whether this very operation has taken effect, and returns the success if
	// so. It is asked before every call of a NotRepeatable handler. nil: the vendor cannot be read,
	// and a lost answer ends with a person.
	LookUp func(ctx context.Context, run *Attempt) (result Reply, found bool, err error)
	// Check returns a *[Rejection] of a command whose tenant or vendor is not configured, or that
	// its tenant's policy does not allow. It is asked when the command arrives, and calls no
	// vendor. nil: there is nothing to check.
	Check func(run *Attempt) error
	// Plan says what Perform would do, and writes nothing. nil: that cannot be told.
	Plan func(ctx context.Context, run *Attempt) (event.Plan, error)
	// ReadBack gives the type and the data of the command that reads what Perform writes. Only a
	// repeatable handler has one. The command is published if this replica may have written after
	// another had taken the operation over: see docs/operations.md, "Leases". nil: nothing compares
	// what is read with what was written last.
	ReadBack func(run *Attempt) (eventType string, data any, err error)
}

// ErrCannotLookUp is what LookUp returns if this tenant's vendor cannot be read: it is as if there
// were no LookUp.
var ErrCannotLookUp = errors.New("the vendor cannot be read back")

// Reply is an event about an operation, such as its success: the type to publish, and the data.
type Reply struct {
	Type string
	Data any
}

// PriorCall is an earlier call of the same operation to its vendor, and nobody knows whether it
// took effect.
type PriorCall struct {
	// SentAt is when the call was announced or sent, by the NATS server's clock. Zero: not known.
	SentAt time.Time
	// Failure is what the call was answered, such as the vendor's code. Empty: the process died
	// during the call.
	Failure event.FailureData
	// HeldForApproval says that the vendor keeps the call until a person approves it.
	HeldForApproval bool
}

// Attempt is one attempt at a command, as its handler sees it.
type Attempt struct {
	// Command is the event as published, with its sealed secrets opened.
	Command event.Event
	// Tenant is the one that the command was published for, by its subject. Results carry it.
	Tenant string
	// ID is the operation's id.
	ID string
	// Operation is what every result carries; a handler copies it into its data.
	Operation event.OperationData
	// Prior is an earlier call of this operation whose effect is open: LookUp is asked about it,
	// and Perform makes the call again because no look-up has found its effect. nil: no earlier
	// call can have taken effect, or the handler may be repeated and is about to be.
	Prior *PriorCall

	command  event.Command
	address  topology.Address
	sequence uint64 // of the command in COMMANDS
	// keyProblem says that the key is not the recommended one: see keyProblem.
	keyProblem string
	secrets    secrets
	removal    removal
	// secretFaults are sealed secrets that cannot be opened, and plain ones that are not allowed.
	secretFaults []event.Fault
	// lease is that of the message that brought the command; of the wake-up that a detached call
	// renews; or of the announcement of a create.
	lease atomic.Pointer[lease.Lease]
	// performing says that the handler has been called. Another goroutine reads it: see
	// publishStartedLate.
	performing atomic.Bool
	writer     *writer
	started    func() event.StartedData
}

// Decode reads the command's data, which fits its schema, into one of package event's types.
func (r *Attempt) Decode(into any) error { return json.Unmarshal(r.Command.Data(), into) }

// Emit publishes a further event of the operation that does not end it, such as one part of a long
// answer. After an error the handler must return: another replica has taken the operation up, or
// JetStream stayed away. It is not safe for concurrent use.
func (r *Attempt) Emit(ctx context.Context, eventType string, data any) error {
	return r.writer.append(ctx, eventType, data)
}

// Started is the part that an event about progress shares with the event started, for
// [Attempt.Emit]: the record ends with that event until the next, and must say that a call is under
// way.
func (r *Attempt) Started() event.StartedData { return r.started() }

// Reach marks a point of a handler, such as the one between what it reads and what it writes.
func (r *Attempt) Reach(p failpoint.Point) {
	if r.writer != nil {
		r.writer.records.failpoints.Reach(p)
	}
}

// Attributes are the extension attributes of everything that is published because of the command,
// for [event.Extend]; "" for one that has no value.
func (r *Attempt) Attributes() []event.Attribute {
	return []event.Attribute{
		{Name: event.AttrTenantID, Value: r.Tenant},
		{Name: event.AttrCausationID, Value: r.Command.ID()},
		{Name: event.AttrCommandID, Value: r.Command.ID()},
		{Name: event.AttrCommandSource, Value: r.Command.Source()},
		{Name: event.AttrOperationID, Value: r.ID},
		{Name: event.AttrCorrelationID, Value: event.Extension(r.Command, event.AttrCorrelationID)},
		{Name: event.AttrTraceParent, Value: event.Extension(r.Command, event.AttrTraceParent)},
	}
}

// envelope is what the results of a command share.
func (r *Attempt) envelope() envelope {
	return envelope{
		tenant: r.Tenant, domain: r.address.Domain, operationID: r.ID, subject: r.Command.Subject(),
		attributes: append(r.Attributes(), event.Principal(r.Command)...),
	}
}

// Rejection says that a command is wrong in a way that its schema cannot tell.
type Rejection struct{ Faults []event.Fault }

// Reject returns a Rejection with one fault.
func Reject(field, problem string) *Rejection {
	return &Rejection{Faults: []event.Fault{{Field: field, Problem: problem}}}
}

// Error implements error.
func (r *Rejection) Error() string {
	texts := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		texts[i] = strings.TrimSpace(f.Field + " " + f.Problem)
	}
	return "rejected: " + strings.Join(texts, "; ")
}
