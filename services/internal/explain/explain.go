// Package explain says in plain English where an operation stands: what has happened to it, why it
// is not done yet, and what would help. It is pure: package operator gathers the facts.
package explain

import (
	"encoding/json"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// Facts is what the streams hold of an operation.
type Facts struct {
	OperationID string
	Tenant      string
	Domain      event.Domain
	// Now is the time by which waits are judged.
	Now time.Time
	// Command is nil if COMMANDS no longer holds it.
	Command *Command
	// Events is the record, in its order.
	Events []Event
	// DeadLetters are those about the operation, in the order of DEAD.
	DeadLetters []DeadLetter
	Queue       Queue
}

// Command is the command of an operation.
type Command struct {
	Type, Source, ID string
	// Subject is whom it is about, for people. Key is decoded.
	Subject, Key string
	// CorrelationID and CausationID are empty where they are absent.
	CorrelationID, CausationID string
	Sequence                   uint64 // in COMMANDS
	StoredAt                   time.Time
	NotBefore, ExpiryTime      time.Time // zero where they are absent
	DryRun                     bool
	// Data has its secrets replaced; nil if it does not fit its schema.
	Data json.RawMessage
}

// Event is an event of a record.
type Event struct {
	event.Event
	Sequence uint64 // in EVENTS
	StoredAt time.Time
}

// DeadLetter is a message of DEAD about an operation.
type DeadLetter struct {
	event.DeadLetter
	Sequence uint64 // in DEAD
	StoredAt time.Time
}

// Queue is what stands before an operation.
type Queue struct {
	// Head is the operation that is the first of the key in PARKED; "" if nothing waits there.
	Head string
	// HeadWhy is [Explanation.Why] of the head, if that is another operation.
	HeadWhy string
	// SetAside says that it may wait in the overflow of its tenant and partition.
	SetAside bool
	// WakesAt is when the key is woken; zero: nothing is known to wake it.
	WakesAt time.Time
	// Partition is the part of its domain that the command belongs to; -1: not known.
	Partition int
	// Leased says that a replica has the lease of the partition.
	Leased bool
	// Delivered says that the command was delivered to a replica, Acknowledged that its message in
	// COMMANDS is done.
	Delivered, Acknowledged bool
}

// Explanation is where an operation stands.
type Explanation struct {
	OperationID string       `json:"operationId"`
	Tenant      string       `json:"tenant"`
	Domain      event.Domain `json:"domain"`
	CommandType string       `json:"commandType,omitempty"`
	Key         string       `json:"key,omitempty"`
	// Source and ID are the command's: who asked, and under which id.
	Source        string `json:"source,omitempty"`
	ID            string `json:"id,omitempty"`
	Subject       string `json:"subject,omitempty"`
	CorrelationID string `json:"correlationId,omitempty"`
	// CausedBy is the command's causationid, CausedByOperation the operation that it names, if it
	// is one of ours.
	CausedBy          string `json:"causedBy,omitempty"`
	CausedByOperation string `json:"causedByOperation,omitempty"`
	// State is "" if nothing is known of the operation.
	State event.State `json:"state,omitempty"`
	// Why says where it stands and why it is not done yet, Help what would help; "" if nothing has
	// to be done. Each begins in lower case and has no full stop.
	Why  string `json:"why"`
	Help string `json:"help,omitempty"`
	// BlockedBy is the operation that it waits behind.
	BlockedBy string `json:"blockedBy,omitempty"`
	// NextAttemptAt is when something is tried next, GivesUpAt when it fails at the latest.
	NextAttemptAt *time.Time `json:"nextAttemptAt,omitempty"`
	GivesUpAt     *time.Time `json:"givesUpAt,omitempty"`
	Timeline      []Moment   `json:"timeline"`
}

// Sentence is [Explanation.Why] and [Explanation.Help] as one sentence.
func (x Explanation) Sentence() string {
	text := x.Why
	if x.Help != "" {
		text += "; " + x.Help
	}
	return capital(text) + "."
}

// Explain explains an operation. clock writes a time for people.
func Explain(f Facts, clock func(time.Time) string) Explanation {
	x := identify(f)
	s := situation{Facts: f, clock: clock, x: &x, service: string(f.Domain) + "-svc"}
	s.explain()
	x.Timeline = timeline(f, x)
	return x
}

// identify fills in what names the operation: its command says it, else its record, else a dead
// letter.
func identify(f Facts) Explanation {
	x := Explanation{OperationID: f.OperationID, Tenant: f.Tenant, Domain: f.Domain}
	for _, l := range f.DeadLetters {
		x.CommandType, x.Source, x.ID, x.CorrelationID = l.Type, l.Source, l.ID, l.CorrelationID
	}
	if n := len(f.Events); n > 0 {
		last := f.Events[n-1]
		o := operationOf(last.Event)
		x.CommandType, x.Key = o.CommandType, keyText(o.Key)
		x.Source, x.ID = event.Extension(last.Event, event.AttrCommandSource), event.Extension(last.Event, event.AttrCommandID)
		x.CorrelationID, x.Subject = event.Extension(last.Event, event.AttrCorrelationID), last.Subject()
	}
	if c := f.Command; c != nil {
		x.CommandType, x.Key, x.Source, x.ID = c.Type, c.Key, c.Source, c.ID
		x.Subject, x.CorrelationID, x.CausedBy = c.Subject, c.CorrelationID, c.CausationID
		x.CausedByOperation = OperationOfEvent(c.CausationID)
	}
	return x
}

// OperationOfEvent is the operation whose record an id of an event belongs to; "" if the id is not
// one of ours, which begin with the operation's id and a full stop.
func OperationOfEvent(id string) string {
	const length = 26
	if len(id) <= length || id[length] != '.' {
		return ""
	}
	for _, c := range id[:length] {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return ""
		}
	}
	return id[:length]
}

func operationOf(e event.Event) event.OperationData {
	var data struct {
		Operation event.OperationData `json:"operation"`
	}
	_ = e.DataAs(&data) // unreadable: nothing of it is known
	return data.Operation
}

func keyText(token string) string {
	if text, err := event.Untoken(token); err == nil {
		return text
	}
	return token
}
