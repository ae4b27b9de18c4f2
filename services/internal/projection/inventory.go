package projection

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Inventory keeps mailbox_inventory: the latest observation of each mailbox. The stream keeps only
// the latest message of a mailbox, so a row must follow from one message alone: a replay sees no
// other.
type Inventory struct{}

// Name of the projection.
func (Inventory) Name() string { return "mailbox_inventory" }

// Stream that it follows.
func (Inventory) Stream() string { return topology.StreamMailboxes }

// Subjects is nil: it follows all of them.
func (Inventory) Subjects() []string { return nil }

// facts are EnPower's properties of a mailbox, member by member as in
// common.json#/$defs/mailboxFacts.
type facts struct {
	ID                              string          `json:"id" db:"mailbox_id,indexed"`
	UserID                          *string         `json:"userId" db:"user_id"`
	PrincipalName                   *string         `json:"principalName" db:"principal_name,indexed"`
	Name                            *string         `json:"name" db:"name"`
	EmailAddress                    *string         `json:"emailAddress" db:"email_address,indexed"`
	DisplayName                     *string         `json:"displayName" db:"display_name,indexed"`
	RecipientType                   *string         `json:"recipientType" db:"recipient_type"`
	Status                          *string         `json:"status" db:"status"`
	HiddenFromAddressListsEnabled   *bool           `json:"hiddenFromAddressListsEnabled" db:"hidden_from_address_lists_enabled"`
	CreateTime                      *time.Time      `json:"createTime" db:"create_time"`
	ModifiedTime                    *time.Time      `json:"modifiedTime" db:"modified_time"`
	FirstScanTime                   *time.Time      `json:"firstScanTime" db:"first_scan_time"`
	TenantID                        *string         `json:"tenantId" db:"tenant_id"`
	TenantDomain                    *string         `json:"tenantDomain" db:"tenant_domain"`
	Container                       *string         `json:"container" db:"container"`
	ContainerID                     *string         `json:"containerId" db:"container_id"`
	ItemCount                       *int64          `json:"itemCount" db:"item_count"`
	StorageUsed                     *int64          `json:"storageUsed" db:"storage_used"`
	IssueWarningQuota               *int64          `json:"issueWarningQuota" db:"issue_warning_quota"`
	ProhibitSendQuota               *int64          `json:"prohibitSendQuota" db:"prohibit_send_quota"`
	ProhibitSendReceiveQuota        *int64          `json:"prohibitSendReceiveQuota" db:"prohibit_send_receive_quota"`
	DeletedItemCount                *int64          `json:"deletedItemCount" db:"deleted_item_count"`
	DeletedItemSize                 *int64          `json:"deletedItemSize" db:"deleted_item_size"`
	FirstName                       *string         `json:"firstName" db:"first_name"`
	LastName                        *string         `json:"lastName" db:"last_name"`
	Alias                           *string         `json:"alias" db:"alias,indexed"`
	AutoReplyEnabled                *bool           `json:"autoReplyEnabled" db:"auto_reply_enabled"`
	LitigationHoldEnabled           *bool           `json:"litigationHoldEnabled" db:"litigation_hold_enabled"`
	EmailForwardingEnabled          *bool           `json:"emailForwardingEnabled" db:"email_forwarding_enabled"`
	ExternalEmailForwardingEnabled  *bool           `json:"externalEmailForwardingEnabled" db:"external_email_forwarding_enabled"`
	ArchiveStatus                   *string         `json:"archiveStatus" db:"archive_status"`
	ArchiveName                     *string         `json:"archiveName" db:"archive_name"`
	LastActivityDate                *time.Time      `json:"lastActivityDate" db:"last_activity_date"`
	ForwardingAddressDomain         *string         `json:"forwardingAddressDomain" db:"forwarding_address_domain"`
	ExternalForwardingAddressDomain *string         `json:"externalForwardingAddressDomain" db:"external_forwarding_address_domain,indexed"`
	RecipientLimits                 *string         `json:"recipientLimits" db:"recipient_limits"`
	MailboxPolicies                 json.RawMessage `json:"mailboxPolicies" db:"mailbox_policies"`
	PrimaryContact                  json.RawMessage `json:"primaryContact" db:"primary_contact"`
	SecondaryContact                json.RawMessage `json:"secondaryContact" db:"secondary_contact"`
	LastRenewalBy                   json.RawMessage `json:"lastRenewalBy" db:"last_renewal_by"`
	LastRenewalTime                 *time.Time      `json:"lastRenewalTime" db:"last_renewal_time"`
	PhaseStartTime                  *time.Time      `json:"phaseStartTime" db:"phase_start_time"`
	RenewalDueDate                  *time.Time      `json:"renewalDueDate" db:"renewal_due_date"`
	NextRenewalDate                 *time.Time      `json:"nextRenewalDate" db:"next_renewal_date"`
	RenewProfileApplied             *bool           `json:"renewProfileApplied" db:"renew_profile_applied"`
	ElectionProfileApplied          *bool           `json:"electionProfileApplied" db:"election_profile_applied"`
	Metadata                        json.RawMessage `json:"metadata" db:"metadata"`
	IsRegistered                    *bool           `json:"isRegistered" db:"is_registered"`
	Phase                           *string         `json:"phase" db:"phase"`
	PhaseAssignees                  json.RawMessage `json:"phaseAssignees" db:"phase_assignees"`
	RenewProfile                    json.RawMessage `json:"renewProfile" db:"renew_profile"`
	ElectionProfile                 json.RawMessage `json:"electionProfile" db:"election_profile"`
	ClaimStatus                     *string         `json:"claimStatus" db:"claim_status"`
	Extra                           json.RawMessage `json:"extra" db:"extra"`
}

type inventoryRow struct {
	Tenant string `db:"tenant"`
	Key    string `db:"mailbox_key,indexed"`
	facts
	SyncID          string          `db:"sync_id"`
	Change          string          `db:"change"`
	ChangedAt       time.Time       `db:"changed_at"`
	Previous        json.RawMessage `db:"previous"`
	FirstObservedAt time.Time       `db:"first_observed_at"`
	ObservedAt      time.Time       `db:"observed_at"`
	MissingSince    *time.Time      `db:"missing_since"`
	LastSequence    int64           `db:"last_sequence"`
	Omitted         []string        `db:"omitted"`
}

var mailboxInventory = table[inventoryRow]{name: "mailbox_inventory", key: "tenant, mailbox_key"}

// Read makes the rows.
func (Inventory) Read(records []projector.Record) (projector.Write, error) {
	rows := make([]inventoryRow, len(records))
	for i, record := range records {
		if err := rows[i].read(record); err != nil {
			return projector.Write{}, err
		}
	}
	type key struct{ tenant, mailbox string }
	return mailboxInventory.write(lastPerKey(rows, func(r *inventoryRow) key { return key{r.Tenant, r.Key} })), nil
}

// observation is the data of both types of observations. LastObservedAt is set for a missing
// mailbox: when its facts were read.
type observation struct {
	SyncID          string          `json:"syncId"`
	ObservedAt      time.Time       `json:"observedAt"`
	FirstObservedAt time.Time       `json:"firstObservedAt"`
	LastObservedAt  time.Time       `json:"lastObservedAt"`
	Previous        json.RawMessage `json:"previous"`
	Omitted         []string        `json:"omitted"`
	Mailbox         *facts          `json:"mailbox"`
}

// read fills an empty row from a message.
func (row *inventoryRow) read(record projector.Record) error {
	e, err := decode(record)
	if err != nil {
		return err
	}
	if e.Type() != event.TypeMailboxObserved && e.Type() != event.TypeMailboxMissing {
		return projector.Unprojectablef("type %s is not one of an observation that this version knows", text(e.Type()))
	}
	s := observation{Mailbox: &row.facts}
	if err := into(e, &s); err != nil {
		return err
	}
	row.SyncID = s.SyncID
	row.Change = attribute(e, event.AttrMailboxChange)
	row.ChangedAt = s.ObservedAt
	row.Previous = s.Previous
	row.Omitted = s.Omitted
	row.FirstObservedAt = s.FirstObservedAt
	row.ObservedAt = s.ObservedAt
	row.LastSequence = record.Sequence
	if e.Type() == event.TypeMailboxMissing {
		row.ObservedAt = s.LastObservedAt
		row.MissingSince = &s.ObservedAt
	}
	// The key comes from the subject: the stream keeps one message for each subject.
	row.Tenant, row.Key, err = observedAt(record.Subject)
	return err
}

// observedAt reads mailwright.mailbox.<tenant>.<mailbox>.
func observedAt(subject string) (tenant, mailbox string, err error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 4 {
		return "", "", projector.Unprojectablef("the subject is not one of a mailbox")
	}
	tenant, err1 := event.Untoken(tokens[2])
	mailbox, err2 := event.Untoken(tokens[3])
	if err1 != nil || err2 != nil || mailbox == "" {
		return "", "", projector.Unprojectablef("the subject does not name a tenant and a mailbox")
	}
	return text(tenant), text(mailbox), nil
}
