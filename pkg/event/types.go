package event

import (
	"slices"
	"strings"
)

// Prefix precedes every type of ours.
const Prefix = "io.mailwright."

// ValidTenant reports whether a text can be the name of a tenant: 1 to 63 of a-z, 0-9 and "-", so
// that it is one token of a NATS subject and a part of a permission.
func ValidTenant(name string) bool {
	const maxTenant = 63
	if len(name) == 0 || len(name) > maxTenant {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}

// Domain is the part of the system that carries a command out: the fourth token of its subject.
type Domain string

// The four domains, each carried out by the service of its name.
const (
	DomainDirectory  Domain = "directory"
	DomainMailbox    Domain = "mailbox"
	DomainDelegation Domain = "delegation"
	DomainInventory  Domain = "inventory"
)

// Domains lists the domains.
func Domains() []Domain {
	return []Domain{DomainDirectory, DomainMailbox, DomainDelegation, DomainInventory}
}

// Types of commands.
const (
	TypeObjectCreate       = Prefix + "directory.object.create.v1"
	TypeBusinessUserCreate = Prefix + "directory.businessuser.create.v1"
	TypeMailboxCreate      = Prefix + "mailbox.create.v1"
	TypeDelegationSet      = Prefix + "delegation.set.v1"
	TypeDelegationChange   = Prefix + "delegation.change.v1"
	TypeDelegationRead     = Prefix + "delegation.read.v1"
	TypeFolderGrant        = Prefix + "delegation.folder.grant.v1"
	TypeFolderRevoke       = Prefix + "delegation.folder.revoke.v1"
	TypeFolderRead         = Prefix + "delegation.folder.read.v1"
	TypeInventorySync      = Prefix + "inventory.sync.v1"
	// TypeOperationCancel goes to the domain of the operation that it cancels.
	TypeOperationCancel = Prefix + "operation.cancel.v1"
)

// Types of successes.
const (
	TypeObjectCreated       = Prefix + "directory.object.created.v1"
	TypeBusinessUserCreated = Prefix + "directory.businessuser.created.v1"
	TypeMailboxCreated      = Prefix + "mailbox.created.v1"
	TypeDelegationChanged   = Prefix + "delegation.changed.v1"
	TypeDelegationObserved  = Prefix + "delegation.observed.v1"
	TypeFolderChanged       = Prefix + "delegation.folder.changed.v1"
	TypeFolderObserved      = Prefix + "delegation.folder.observed.v1"
	TypeSyncCompleted       = Prefix + "inventory.sync.completed.v1"
	TypeCancelCompleted     = Prefix + "operation.cancel.completed.v1"
)

// Types of observations of a single mailbox, on the stream MAILBOXES.
const (
	TypeMailboxObserved = Prefix + "inventory.mailbox.observed.v1"
	TypeMailboxMissing  = Prefix + "inventory.mailbox.missing.v1"
)

// TypeDelegationDrift is the type of an observation of delegates that are not as the last command
// left them, on the stream DRIFT.
const TypeDelegationDrift = Prefix + "delegation.drift.v1"

// TypeDeadLetter is the type of a dead letter, on the stream DEAD: the event of a message that was
// given up.
const TypeDeadLetter = Prefix + "deadletter.v1"

// Types of what people do to the system, on the stream AUDIT: the intent before the act, and how it
// ended.
const (
	TypeAuditIntended  = Prefix + "audit.intended.v1"
	TypeAuditCompleted = Prefix + "audit.completed.v1"
)

// TypeSyncProgress is the type of an event on the way of an inventory.sync.
const TypeSyncProgress = Prefix + "inventory.sync.progress.v1"

// Values of [AttrMailboxChange]: what happened to a mailbox since the observation before.
const (
	ChangeNew      = "new"
	ChangeChanged  = "changed"
	ChangeReturned = "returned" // it was missing
	ChangeMissing  = "missing"
)

// StartedType and its sisters are the types that every domain has.
func StartedType(d Domain) string { return stateType(d, StateStarted) }

// WaitingType is the type of "will be tried again".
func WaitingType(d Domain) string { return stateType(d, StateWaiting) }

// UnknownType is the type of "sent, no answer: being read back".
func UnknownType(d Domain) string { return stateType(d, StateUnknown) }

// FailedType is the type of a final failure.
func FailedType(d Domain) string { return stateType(d, StateFailed) }

// RejectedType is the type of a command that was wrong.
func RejectedType(d Domain) string { return stateType(d, StateRejected) }

// CancelledType is the type of an operation that was cancelled while it waited.
func CancelledType(d Domain) string { return stateType(d, StateCancelled) }

// PlannedType is the type of the answer to a dry run.
func PlannedType(d Domain) string { return Prefix + string(d) + ".planned.v1" }

func stateType(d Domain, s State) string { return Prefix + string(d) + "." + string(s) + ".v1" }

// CommandTypes lists the types of commands.
func CommandTypes() []string {
	return []string{
		TypeObjectCreate, TypeBusinessUserCreate, TypeMailboxCreate, TypeDelegationSet,
		TypeDelegationChange, TypeDelegationRead, TypeFolderGrant, TypeFolderRevoke, TypeFolderRead,
		TypeInventorySync, TypeOperationCancel,
	}
}

// ResultTypes lists the types of results and observations.
func ResultTypes() []string {
	types := []string{
		TypeObjectCreated, TypeBusinessUserCreated, TypeMailboxCreated, TypeDelegationChanged,
		TypeDelegationObserved, TypeFolderChanged, TypeFolderObserved, TypeSyncCompleted,
		TypeSyncProgress, TypeCancelCompleted, TypeMailboxObserved, TypeMailboxMissing,
		TypeDelegationDrift, TypeDeadLetter,
	}
	for _, d := range Domains() {
		types = append(types, StartedType(d), WaitingType(d), UnknownType(d), FailedType(d), RejectedType(d), CancelledType(d), PlannedType(d))
	}
	return types
}

// AuditTypes lists the types on the stream AUDIT.
func AuditTypes() []string { return []string{TypeAuditIntended, TypeAuditCompleted} }

// Types lists all types of ours.
func Types() []string { return slices.Concat(CommandTypes(), ResultTypes(), AuditTypes()) }

// IsCommand reports whether a type is one of a command.
func IsCommand(eventType string) bool { return slices.Contains(CommandTypes(), eventType) }

// DomainOf gives the domain that a type of ours belongs to; "" for another type, and for those of
// package operation that every domain takes.
func DomainOf(eventType string) Domain {
	rest, ok := strings.CutPrefix(eventType, Prefix)
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, ".")
	if d := Domain(first); slices.Contains(Domains(), d) {
		return d
	}
	return ""
}

// State is where an operation stands in its life: received → (started | waiting | unknown)* →
// succeeded | failed | rejected | cancelled.
type State string

// The states of an operation.
const (
	StateReceived  State = "received"  // stored in COMMANDS; nothing has happened yet
	StateStarted   State = "started"   // the vendor is being called
	StateWaiting   State = "waiting"   // will be tried again
	StateUnknown   State = "unknown"   // sent, answer lost: being read back
	StateSucceeded State = "succeeded" // carried out
	StateFailed    State = "failed"    // ended without success
	StateRejected  State = "rejected"  // the command was wrong; nothing was sent
	StateCancelled State = "cancelled" // taken back before it was carried out
)

// Terminal reports whether a state is an outcome.
func (s State) Terminal() bool {
	return s == StateSucceeded || s == StateFailed || s == StateRejected || s == StateCancelled
}

// Known reports whether a text is one of the states.
func (s State) Known() bool {
	return slices.Contains([]State{StateReceived, StateStarted, StateWaiting, StateUnknown, StateSucceeded, StateFailed, StateRejected, StateCancelled}, s)
}

// StateOf gives the state that a result leaves its operation in; ok is false where the
// event is no result, such as a command or an observation of a single mailbox.
// A delegation.observed that is not yet complete leaves the state as it was: Received.
func StateOf(e Event) (state State, ok bool) {
	t := e.Type()
	for _, s := range []State{StateStarted, StateWaiting, StateUnknown, StateFailed, StateRejected, StateCancelled} {
		if t == stateType(DomainOf(t), s) {
			return s, true
		}
	}
	switch t {
	case TypeSyncProgress:
		return StateStarted, true
	case TypeDelegationObserved:
		var part struct {
			Complete bool `json:"complete"`
		}
		if e.DataAs(&part) == nil && !part.Complete {
			return StateReceived, true
		}
		return StateSucceeded, true
	case TypeObjectCreated, TypeBusinessUserCreated, TypeMailboxCreated, TypeDelegationChanged,
		TypeFolderChanged, TypeFolderObserved, TypeSyncCompleted, TypeCancelCompleted, PlannedType(DomainOf(t)):
		return StateSucceeded, true
	}
	return "", false
}
