package event

import (
	"encoding/json"
	"time"
)

// OperationData stands in every result: which operation it belongs to.
type OperationData struct {
	CommandType string `json:"commandType"`
	// Key of the command's subject.
	Key string `json:"key"`
	// ReceivedAt is when JetStream stored the command, UTC.
	ReceivedAt time.Time `json:"receivedAt"`
	// Attempt counts attempts at the vendor, from 1.
	Attempt int `json:"attempt"`
	// Fingerprint is [Fingerprint] of the command.
	Fingerprint string `json:"fingerprint"`
	// Warnings say what its publisher should look at although the command was taken.
	Warnings []Warning `json:"warnings,omitempty"`
}

// Warning is something that the vendor could not do although the operation succeeded.
type Warning struct {
	Source string `json:"source,omitempty"`
	Text   string `json:"text"`
}

// FailureData says why an attempt did not succeed; see package failure.
type FailureData struct {
	Kind   string `json:"kind"`
	Vendor string `json:"vendor,omitempty"`
	Code   string `json:"code,omitempty"`
	Text   string `json:"text"`
}

// StartedData is the data of <domain>.started.
type StartedData struct {
	Operation OperationData `json:"operation"`
	// LeaseExpiresAt is when the call counts as lost, should nothing follow.
	LeaseExpiresAt time.Time `json:"leaseExpiresAt"`
	// Since is when the first attempt failed, where one did.
	Since *time.Time `json:"since,omitempty"`
}

// Reasons for waiting.
const (
	WaitFailure          = "failure"           // an attempt failed in a way that may pass
	WaitScheduled        = "scheduled"         // the command's notbefore has not come
	WaitConcurrencyLimit = "concurrency-limit" // other calls use up the budget of its tenant or vendor
	WaitBlockedByKey     = "blocked-by-key"    // commands of its key that came before it wait; NextAttemptAt is theirs
)

// WaitingData is the data of <domain>.waiting.
type WaitingData struct {
	Operation OperationData `json:"operation"`
	// Reason is WaitFailure, WaitScheduled, WaitConcurrencyLimit or WaitBlockedByKey.
	Reason        string       `json:"reason"`
	Failure       *FailureData `json:"failure,omitempty"`
	Since         time.Time    `json:"since"`
	NextAttemptAt time.Time    `json:"nextAttemptAt"`
}

// UnknownData is the data of <domain>.unknown.
type UnknownData struct {
	Operation OperationData `json:"operation"`
	Failure   FailureData   `json:"failure"`
	// SentAt is when the write was sent whose answer was lost.
	SentAt time.Time `json:"sentAt"`
	// Since is when the first attempt failed.
	Since         time.Time `json:"since"`
	NextAttemptAt time.Time `json:"nextAttemptAt"`
}

// FailedData is the data of <domain>.failed.
type FailedData struct {
	Operation OperationData `json:"operation"`
	Failure   FailureData   `json:"failure"`
	// Since is when the first attempt failed, where there were several.
	Since *time.Time `json:"since,omitempty"`
}

// RejectedData is the data of <domain>.rejected.
type RejectedData struct {
	Operation OperationData `json:"operation"`
	Faults    []Fault       `json:"faults"`
}

// Fault is one thing wrong with a command.
type Fault struct {
	// Field is a JSON Pointer into the data, or the name of an envelope attribute.
	Field string `json:"field"`
	// Problem says what is wrong and what would be right. It never quotes the value: it may be a
	// secret.
	Problem string `json:"problem"`
}

// ObjectCreatedData is the data of directory.object.created.
type ObjectCreatedData struct {
	Operation OperationData   `json:"operation"`
	Object    DirectoryObject `json:"object"`
	// SealedSecret is the temporary password that the vendor made up, sealed to the command's
	// SealTo and bound to the operation.
	SealedSecret string    `json:"sealedSecret,omitempty"`
	Warnings     []Warning `json:"warnings,omitempty"`
}

// DirectoryObject is a directory object as the vendor stored it.
type DirectoryObject struct {
	DN string `json:"dn"`
	// GUID is empty where it could not be read back.
	GUID       string `json:"guid,omitempty"`
	ObjectType string `json:"objectType"`
}

// BusinessUserCreatedData is the data of directory.businessuser.created.
type BusinessUserCreatedData struct {
	Operation OperationData  `json:"operation"`
	User      BusinessUser   `json:"user"`
	Mailbox   *HostedMailbox `json:"mailbox,omitempty"`
	Warnings  []Warning      `json:"warnings,omitempty"`
}

// BusinessUser is a created Hosted Exchange user.
type BusinessUser struct {
	// Path is the LDAP path: the durable handle.
	Path              string   `json:"path"`
	UserPrincipalName string   `json:"userPrincipalName"`
	DisplayName       string   `json:"displayName,omitempty"`
	MemberOf          []string `json:"memberOf,omitempty"`
	// GUID, SID and SAMAccountName are read back from the directory, where the tenant has one
	// configured.
	GUID           string `json:"guid,omitempty"`
	SID            string `json:"sid,omitempty"`
	SAMAccountName string `json:"sAMAccountName,omitempty"`
}

// HostedMailbox is what the plan gave a business user.
type HostedMailbox struct {
	PlanName           string   `json:"planName"`
	PrimarySMTPAddress string   `json:"primarySmtpAddress,omitempty"`
	ProxyAddresses     []string `json:"proxyAddresses,omitempty"`
	// QuotaKB is the plan's size; the unit is inferred.
	QuotaKB     *int64 `json:"quotaKB,omitempty"`
	DisablePOP  *bool  `json:"disablePOP,omitempty"`
	DisableIMAP *bool  `json:"disableIMAP,omitempty"`
	DisableHTTP *bool  `json:"disableHTTP,omitempty"`
	// MailStore is where the mailbox went; read back like GUID.
	MailStore *ChosenStore `json:"mailStore,omitempty"`
}

// ChosenStore is the store that the vendor chose.
type ChosenStore struct {
	ServerName    string `json:"serverName,omitempty"`
	MailStoreName string `json:"mailStoreName"`
}

// MailboxCreatedData is the data of mailbox.created.
type MailboxCreatedData struct {
	Operation OperationData  `json:"operation"`
	Mailbox   CreatedMailbox `json:"mailbox"`
	Warnings  []Warning      `json:"warnings,omitempty"`
}

// CreatedMailbox is what Adaxes' extraInfo reports of a new mailbox.
type CreatedMailbox struct {
	// DirectoryObject is the DN of the mailbox's user.
	DirectoryObject    string `json:"directoryObject"`
	Alias              string `json:"alias,omitempty"`
	PrimarySMTPAddress string `json:"primarySmtpAddress,omitempty"`
	// Database is a name, not the DN that a command names.
	Database string `json:"database,omitempty"`
}

// DelegationChangedData is the data of delegation.changed.
type DelegationChangedData struct {
	Operation OperationData `json:"operation"`
	// DomainMailbox as the command named it.
	Mailbox string `json:"mailbox"`
	// Delegates is the whole list afterwards.
	Delegates []string `json:"delegates"`
	Added     []string `json:"added"`
	Removed   []string `json:"removed"`
	// Changed is false where it was already so.
	Changed bool `json:"changed"`
	// Warnings name whom the vendor could not remove, or of whom it cannot be told whether they
	// were delegates.
	Warnings []Warning `json:"warnings,omitempty"`
}

// DelegationObservedData is the data of delegation.observed: one part of the answer.
type DelegationObservedData struct {
	Operation OperationData `json:"operation"`
	// Part counts from 1.
	Part int `json:"part"`
	// Complete is true on the last part, which ends the operation.
	Complete bool `json:"complete"`
	// Count is the number of mailboxes up to and including this part.
	Count int `json:"count"`
	// ReadAt is before the first mailbox of this part was asked for: what was set since then, it
	// may not show.
	ReadAt    *time.Time         `json:"readAt,omitempty"`
	Mailboxes []DelegatedMailbox `json:"mailboxes"`
}

// DelegatedMailbox is a mailbox with its send-on-behalf delegates.
type DelegatedMailbox struct {
	Identity                  string     `json:"identity"`
	ExternalDirectoryObjectID string     `json:"externalDirectoryObjectId,omitempty"`
	UserPrincipalName         string     `json:"userPrincipalName,omitempty"`
	PrimarySMTPAddress        string     `json:"primarySmtpAddress,omitempty"`
	DisplayName               string     `json:"displayName,omitempty"`
	RecipientTypeDetails      string     `json:"recipientTypeDetails,omitempty"`
	Delegates                 []Delegate `json:"delegates"`
	// Selected holds the further properties that the command selected.
	Selected map[string]json.RawMessage `json:"selected,omitempty"`
}

// Delegate is one delegate of a mailbox.
type Delegate struct {
	// Address as the vendor names the delegate: usually an SMTP address.
	Address     string `json:"address"`
	DisplayName string `json:"displayName,omitempty"`
}

// Kinds of [DelegateDrift].
const (
	DriftMissing    = "missing"    // a command left the delegate, and the mailbox does not have it
	DriftUnexpected = "unexpected" // the mailbox has a delegate whom no command left
)

// DelegationDriftData is the data of delegation.drift: how a mailbox's delegates differ from what
// the last command left.
type DelegationDriftData struct {
	// DomainMailbox is its identity.
	Mailbox string `json:"mailbox"`
	// ObjectID is the mailbox's in the directory, where Exchange Online told it.
	ObjectID string `json:"objectId,omitempty"`
	// AsOf is when the event was stored since which this holds.
	AsOf time.Time `json:"asOf"`
	// Set is the command's operation that left the list as it should be, Observed the one that
	// showed the differences or their end.
	Set      OperationAt `json:"set"`
	Observed OperationAt `json:"observed"`
	// Drift is empty where the differences have ended.
	Drift []DelegateDrift `json:"drift"`
}

// OperationAt is an operation, and when its result was stored.
type OperationAt struct {
	OperationID string    `json:"operationId"`
	At          time.Time `json:"at"`
}

// DelegateDrift is one delegate who differs.
type DelegateDrift struct {
	Delegate string `json:"delegate"`
	// Kind is DriftMissing or DriftUnexpected.
	Kind string `json:"kind"`
	// Since is when the first observation that showed it was stored.
	Since time.Time `json:"since"`
}

// FolderChangedData is the data of delegation.folder.changed.
type FolderChangedData struct {
	Operation OperationData `json:"operation"`
	// Mailbox, Folder and Delegate as the command named them.
	Mailbox  string `json:"mailbox"`
	Folder   string `json:"folder"`
	Delegate string `json:"delegate"`
	// AccessRights and SharingPermissionFlags afterwards; none: the folder has no entry for the
	// delegate.
	AccessRights           []string `json:"accessRights"`
	SharingPermissionFlags []string `json:"sharingPermissionFlags,omitempty"`
	// Before are the access rights before.
	Before []string `json:"before"`
	// Changed is false where it was already so.
	Changed bool `json:"changed"`
}

// FolderObservedData is the data of delegation.folder.observed: every entry of a folder's list.
type FolderObservedData struct {
	Operation   OperationData      `json:"operation"`
	Mailbox     string             `json:"mailbox"`
	Folder      string             `json:"folder"`
	Permissions []FolderPermission `json:"permissions"`
}

// FolderPermission says what a user may do in a folder.
type FolderPermission struct {
	// User is whom the vendor names: a display name or an address, Default for everybody else, or
	// Anonymous.
	User string `json:"user"`
	// Address is the user's, where the vendor tells it.
	Address                string   `json:"address,omitempty"`
	AccessRights           []string `json:"accessRights"`
	SharingPermissionFlags []string `json:"sharingPermissionFlags,omitempty"`
}

// SyncCompletedData is the data of inventory.sync.completed. Seen = New + Changed + Returned +
// Unchanged + Unpublished.
type SyncCompletedData struct {
	Operation   OperationData `json:"operation"`
	Tenant      string        `json:"tenant,omitempty"`
	MailboxType string        `json:"mailboxType"`
	// Seen counts each mailbox once.
	Seen int `json:"seen"`
	New  int `json:"new"`
	// Changed ones have other facts than before.
	Changed int `json:"changed"`
	// Returned ones had been reported missing.
	Returned  int `json:"returned"`
	Unchanged int `json:"unchanged"`
	// Known mailboxes within the walk's restrictions, before it; those reported missing are left
	// out.
	Known int `json:"known"`
	// Absent of the known ones are those that the walk did not meet.
	Absent int `json:"absent"`
	// Missing of the absent ones are those reported missing: all of them, or none where the walk is
	// suspect.
	Missing int `json:"missing"`
	// Suspect says that too many were absent.
	Suspect bool `json:"suspect"`
	// Duplicates are rows that the vendor repeated across pages.
	Duplicates int `json:"duplicates"`
	// Unidentified are rows without an id.
	Unidentified int `json:"unidentified"`
	// Truncated of the seen ones were too large for one message, and published without some of
	// their facts.
	Truncated int `json:"truncated,omitempty"`
	// Unpublished of the seen ones could not be published.
	Unpublished int `json:"unpublished,omitempty"`
	// Warnings name rows and mailboxes that could not be read or published whole.
	Warnings    []Warning `json:"warnings,omitempty"`
	Pages       int       `json:"pages"`
	StartedAt   time.Time `json:"startedAt"`
	CompletedAt time.Time `json:"completedAt"`
}

// SyncProgressData is the data of inventory.sync.progress: a StartedData that says how far the walk
// has come.
type SyncProgressData struct {
	StartedData
	Seen  int `json:"seen"`
	Pages int `json:"pages"`
	// Known is how many mailboxes the walk is expected to meet; 0: nothing is known yet.
	Known int `json:"known"`
	// Published observations so far.
	Published int       `json:"published"`
	StartedAt time.Time `json:"startedAt"`
}

// MailboxObservedData is the data of inventory.mailbox.observed.
type MailboxObservedData struct {
	// SyncID is the operationid of the inventory.sync.
	SyncID string `json:"syncId"`
	// Tenant is the configured tenant through which the mailbox was seen.
	Tenant          string    `json:"tenant,omitempty"`
	ObservedAt      time.Time `json:"observedAt"`
	FirstObservedAt time.Time `json:"firstObservedAt"`
	// DomainMailbox is services/internal/vendors/enpower.Mailbox in its normalised JSON form.
	Mailbox json.RawMessage `json:"mailbox"`
	// Previous holds the members of Mailbox that have changed, as they were; null for one that was
	// absent.
	Previous json.RawMessage `json:"previous,omitempty"`
	// Omitted names members that were too large for one message: of Mailbox, and of Previous with
	// "previous." before them.
	Omitted []string `json:"omitted,omitempty"`
}

// MailboxMissingData is the data of inventory.mailbox.missing.
type MailboxMissingData struct {
	SyncID          string    `json:"syncId"`
	Tenant          string    `json:"tenant,omitempty"`
	ObservedAt      time.Time `json:"observedAt"`
	MailboxID       string    `json:"mailboxId"`
	FirstObservedAt time.Time `json:"firstObservedAt"`
	// LastObservedAt is when the facts in Mailbox were read.
	LastObservedAt time.Time       `json:"lastObservedAt"`
	Mailbox        json.RawMessage `json:"mailbox"`
	// Omitted names members of Mailbox that were too large for one message.
	Omitted []string `json:"omitted,omitempty"`
}

// CancelledData is the data of <domain>.cancelled.
type CancelledData struct {
	Operation OperationData `json:"operation"`
	By        CommandRef    `json:"by"`
}

// CommandRef names a command.
type CommandRef struct {
	Source string `json:"source"`
	ID     string `json:"id"`
}

// CancelCompletedData is the data of operation.cancel.completed.
type CancelCompletedData struct {
	Operation OperationData `json:"operation"`
	// StateCancelled is the operation that was cancelled.
	Cancelled string `json:"cancelled"`
}

// PlannedData is the data of <domain>.planned.
type PlannedData struct {
	Operation OperationData `json:"operation"`
	Plan      Plan          `json:"plan"`
}

// Plan is what a command would do.
type Plan struct {
	// Target is what the command is about, as the vendor names it where it exists.
	Target string `json:"target"`
	// Exists: the target, or for a create the object, is there already.
	Exists bool `json:"exists"`
	// Changes in the order in which they would be made; none: it is already so.
	Changes []Change `json:"changes"`
}

// Change is one step of a plan.
type Change struct {
	// Action is create, set, add, remove or read.
	Action string `json:"action"`
	What   string `json:"what"`
	Value  string `json:"value,omitempty"`
}
