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
	Directory  Domain = "directory"
	Mailbox    Domain = "mailbox"
	Delegation Domain = "delegation"
	Inventory  Domain = "inventory"
)

// Domains lists the domains.
func Domains() []Domain { return []Domain{Directory, Mailbox, Delegation, Inventory} }

// Types of commands.
const (
	ObjectCreate       = Prefix + "directory.object.create.v1"
	BusinessUserCreate = Prefix + "directory.businessuser.create.v1"
	MailboxCreate      = Prefix + "mailbox.create.v1"
	DelegationSet      = Prefix + "delegation.set.v1"
	DelegationChange   = Prefix + "delegation.change.v1"
	DelegationRead     = Prefix + "delegation.read.v1"
	FolderGrant        = Prefix + "delegation.folder.grant.v1"
	FolderRevoke       = Prefix + "delegation.folder.revoke.v1"
	FolderRead         = Prefix + "delegation.folder.read.v1"
	InventorySync      = Prefix + "inventory.sync.v1"
	// OperationCancel goes to the domain of the operation that it cancels.
	OperationCancel = Prefix + "operation.cancel.v1"
)

// Types of successes.
const (
	ObjectCreated       = Prefix + "directory.object.created.v1"
	BusinessUserCreated = Prefix + "directory.businessuser.created.v1"
	MailboxCreated      = Prefix + "mailbox.created.v1"
	DelegationChanged   = Prefix + "delegation.changed.v1"
	DelegationObserved  = Prefix + "delegation.observed.v1"
	FolderChanged       = Prefix + "delegation.folder.changed.v1"
	FolderObserved      = Prefix + "delegation.folder.observed.v1"
	SyncCompleted       = Prefix + "inventory.sync.completed.v1"
	CancelCompleted     = Prefix + "operation.cancel.completed.v1"
)

// Types of observations of a single mailbox, on the stream MAILBOXES.
const (
	MailboxObserved = Prefix + "inventory.mailbox.observed.v1"
	MailboxMissing  = Prefix + "inventory.mailbox.missing.v1"
)

// DelegationDrift is the type of an observation of delegates that are not as the last command left
// them, on the stream DRIFT.
const DelegationDrift = Prefix + "delegation.drift.v1"

// DeadLettered is the type of a dead letter, on the stream DEAD: the event of a message that was
// given up.
const DeadLettered = Prefix + "deadletter.v1"

// SyncProgress is the type of an event on the way of an inventory.sync.
const SyncProgress = Prefix + "inventory.sync.progress.v1"

// Values of [MailboxChange]: what happened to a mailbox since the observation before.
const (
	MailboxNew      = "new"
	MailboxChanged  = "changed"
	MailboxReturned = "returned" // it was missing
	MailboxGone     = "missing"
)

// StartedType and its sisters are the types that every domain has.
func StartedType(d Domain) string { return stateType(d, Started) }

// WaitingType is the type of "will be tried again".
func WaitingType(d Domain) string { return stateType(d, Waiting) }

// UnknownType is the type of "sent, no answer: being read back".
func UnknownType(d Domain) string { return stateType(d, Unknown) }

// FailedType is the type of a final failure.
func FailedType(d Domain) string { return stateType(d, Failed) }

// RejectedType is the type of a command that was wrong.
func RejectedType(d Domain) string { return stateType(d, Rejected) }

// CancelledType is the type of an operation that was cancelled while it waited.
func CancelledType(d Domain) string { return stateType(d, Cancelled) }

// PlannedType is the type of the answer to a dry run.
func PlannedType(d Domain) string { return Prefix + string(d) + ".planned.v1" }

func stateType(d Domain, s State) string { return Prefix + string(d) + "." + string(s) + ".v1" }

// CommandTypes lists the types of commands.
func CommandTypes() []string {
	return []string{ObjectCreate, BusinessUserCreate, MailboxCreate, DelegationSet, DelegationChange, DelegationRead, FolderGrant, FolderRevoke, FolderRead, InventorySync, OperationCancel}
}

// ResultTypes lists the types of results and observations.
func ResultTypes() []string {
	types := []string{ObjectCreated, BusinessUserCreated, MailboxCreated, DelegationChanged, DelegationObserved, FolderChanged, FolderObserved, SyncCompleted, SyncProgress, CancelCompleted, MailboxObserved, MailboxMissing, DelegationDrift, DeadLettered}
	for _, d := range Domains() {
		types = append(types, StartedType(d), WaitingType(d), UnknownType(d), FailedType(d), RejectedType(d), CancelledType(d), PlannedType(d))
	}
	return types
}

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
	Received  State = "received"  // stored in COMMANDS; nothing has happened yet
	Started   State = "started"   // the vendor is being called
	Waiting   State = "waiting"   // will be tried again
	Unknown   State = "unknown"   // sent, answer lost: being read back
	Succeeded State = "succeeded" // carried out
	Failed    State = "failed"    // ended without success
	Rejected  State = "rejected"  // the command was wrong; nothing was sent
	Cancelled State = "cancelled" // taken back before it was carried out
)

// Terminal reports whether a state is an outcome.
func (s State) Terminal() bool {
	return s == Succeeded || s == Failed || s == Rejected || s == Cancelled
}

// Known reports whether a text is one of the states.
func (s State) Known() bool {
	return slices.Contains([]State{Received, Started, Waiting, Unknown, Succeeded, Failed, Rejected, Cancelled}, s)
}

// StateOf gives the state that a result leaves its operation in; ok is false where the
// event is no result, such as a command or an observation of a single mailbox.
// A delegation.observed that is not yet complete leaves the state as it was: Received.
func StateOf(e Event) (state State, ok bool) {
	t := e.Type()
	for _, s := range []State{Started, Waiting, Unknown, Failed, Rejected, Cancelled} {
		if t == stateType(DomainOf(t), s) {
			return s, true
		}
	}
	switch t {
	case SyncProgress:
		return Started, true
	case DelegationObserved:
		var part struct {
			Complete bool `json:"complete"`
		}
		if e.DataAs(&part) == nil && !part.Complete {
			return Received, true
		}
		return Succeeded, true
	case ObjectCreated, BusinessUserCreated, MailboxCreated, DelegationChanged, FolderChanged, FolderObserved, SyncCompleted, CancelCompleted, PlannedType(DomainOf(t)):
		return Succeeded, true
	}
	return "", false
}
