// Package operation is the life of an operation: what happens between a command on COMMANDS and its
// outcome on EVENTS, the same for every service.
//
//	received → (started | waiting | unknown)* → succeeded | failed | rejected | cancelled
//
// The event stream is the record. An operation's events share one subject, and each is published
// under the condition that the subject still ends where this replica read it, so a command has
// exactly one outcome however many replicas try and however often it is delivered.
//
// A service brings a [Handler] for each type of command. The error that it returns is the
// decision: see [failure.Kind]. docs/operations.md tells the whole life on one page.
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
	// NotRepeatable says that performing twice would do it twice: a create. Such a call is announced in the
	// record before it is made, and repeated only after LookUp has not found what an earlier
	// attempt did.
	NotRepeatable bool
	// LookUp reads back whether this very operation has taken effect, and returns the success if
	// so. It is asked before every call of a Once handler. nil where the vendor can not be read: a
	// lost answer then ends with a person.
	LookUp func(ctx context.Context, run *Attempt) (result Reply, found bool, err error)
	// Check returns a *[Rejection] of a command whose tenant or vendor is not configured, or that
	// its tenant's policy does not allow. It is asked when the command arrives, and calls no
	// vendor. nil where there is nothing to check.
	Check func(run *Attempt) error
	// Plan says what Perform would do, and writes nothing. nil where that can not be told.
	Plan func(ctx context.Context, run *Attempt) (event.Plan, error)
	// ReadBack gives the command that reads what Perform writes, its type and its data, for a
	// handler that is not Once. It is published where a replica may have written after another
	// had taken the command over: see docs/operations.md, "Leases". nil where nothing compares
	// what is read with what was written last.
	ReadBack func(run *Attempt) (eventType string, data any, err error)
}

// ErrCannotLookUp is what LookUp returns where this tenant's vendor can not be read: it is as if
// there were no LookUp.
var ErrCannotLookUp = errors.New("the vendor can not be read back")

// Reply is a success: the type of the event to publish, and its data.
type Reply struct {
	Type string
	Data any
}

// Attempt is one attempt at a command.
type Attempt struct {
	// Command is the event as published.
	Command event.Event
	// Tenant is the one that it was published for, by its subject. Results carry it.
	Tenant string
	// ID is the operation's id.
	ID string
	// Operation is what every result carries; a handler copies it into its data.
	Operation event.OperationData
	// Settling says that an earlier attempt may have taken effect since: its answer was lost, or
	// the vendor held it for approval.
	Settling bool
	// Open is why an earlier call of this very operation stayed open, for a Once handler: while
	// that is looked for, and when Perform makes the call again since no look-up has found it. nil:
	// no call before can have taken effect. Empty where a process died in the call.
	Open *event.FailureData

	command    event.Command
	checked    bool // found right when it arrived
	address    topology.Address
	sequence   uint64    // of the command in COMMANDS
	sentAt     time.Time // when a call was announced whose answer is still open
	held       bool      // by the vendor, for a person's approval
	secrets    secrets
	emit       func(ctx context.Context, eventType string, data any) error
	started    func() event.StartedData
	failpoints failpoint.Set
	place      place
	// lease of the message that brought the command; of the wake-up that a detached call renews;
	// or of what was announced.
	lease atomic.Pointer[lease.Lease]
	// performing says that the handler is at work, for those who watch how long it takes.
	performing atomic.Bool
}

// Decode reads the command's data, which fits its schema, into one of package event's types.
func (r *Attempt) Decode(into any) error { return json.Unmarshal(r.Command.Data(), into) }

// Emit publishes a further event of the operation that does not end it, such as one part of a long
// answer. After an error the handler must return: another replica has taken the operation up, or
// JetStream stayed away. It is not safe for concurrent use.
func (r *Attempt) Emit(ctx context.Context, eventType string, data any) error {
	return r.emit(ctx, eventType, data)
}

// Started is what an event that tells of progress says beside that, for [Run.Emit]: the record ends
// with it until the next, and must read as one of a call under way.
func (r *Attempt) Started() event.StartedData { return r.started() }

// Reach marks a point of a handler, such as the one between what it reads and what it writes.
func (r *Attempt) Reach(p failpoint.Point) { r.failpoints.Reach(p) }

// Rejection says that a command is wrong in a way that its schema can not tell.
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
