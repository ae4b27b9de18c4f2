// Package operation is the life of an operation: what happens between a command on COMMANDS and its
// outcome on EVENTS, the same for every service.
//
//	received → (waiting | unknown)* → succeeded | failed | rejected
//
// The event stream is the record. An operation's events share one subject, and each is published
// under the condition that the subject still ends where this replica read it, so a command has
// exactly one outcome however many replicas try and however often it is delivered.
//
// A service brings a [Handler] for each type of command. The error that a handler returns is the
// decision: see [failure.Kind].
package operation

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// Handler carries a command out at its vendor. It is called again after each failure that may pass,
// in another replica perhaps, so it first looks whether the effect is there already
// where the vendor lets it; it must if [Run.Settling].
//
// It returns the success, or an error: *[Rejection] for a command that is wrong beyond its schema,
// *failure.Error for everything else.
type Handler func(ctx context.Context, run *Run) (Result, error)

// Result is a success: the type of the event to publish, and its data.
type Result struct {
	Type string
	Data any
}

// Run is one attempt at a command.
type Run struct {
	// Command is the event as published.
	Command event.Event
	// Tenant is its tenantid; where that is empty, the handler may set the tenant that it chose. Results carry it.
	Tenant string
	// ID is the operation's id.
	ID string
	// Operation is what every result carries; a handler copies it into its data.
	Operation event.OperationData
	// Settling says that an earlier attempt's answer was lost: the effect may be there.
	Settling bool

	domain  event.Domain
	secrets secrets
	emit    func(ctx context.Context, eventType string, data any) error
}

// Decode reads the command's data, which fits its schema, into one of package event's types.
func (r *Run) Decode(into any) error { return json.Unmarshal(r.Command.Data(), into) }

// Emit publishes a further event of the operation that does not end it, such as one part of
// a long answer.
func (r *Run) Emit(ctx context.Context, eventType string, data any) error {
	return r.emit(ctx, eventType, data)
}

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
		texts[i] = f.Field + " " + f.Problem
	}
	return "rejected: " + strings.Join(texts, "; ")
}

// retryLater is an error that makes the message come back after a delay.
type retryLater struct {
	after time.Duration
	cause error
}

func (r *retryLater) Error() string { return "again in " + r.after.String() + ": " + r.cause.Error() }
func (r *retryLater) Unwrap() error { return r.cause }
