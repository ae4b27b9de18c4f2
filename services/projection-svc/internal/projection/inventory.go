package projection

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/projection-svc/internal/projector"
)

// Inventory keeps mailbox_inventory: the latest observation of each mailbox. The stream keeps one message
// a mailbox, so a row must follow from one message alone: a replay sees no other.
type Inventory struct{}

// Name of the projection.
func (Inventory) Name() string { return "mailbox_inventory" }

// Stream that it follows.
func (Inventory) Stream() string { return bus.Mailboxes }

// Subjects is nil: it follows all of them.
func (Inventory) Subjects() []string { return nil }

// facts are EnPower's about one mailbox: common.json#/$defs/mailboxFacts, member by member.
type facts struct {
	ID                              string          `json:"id" db:"mailbox_id"`
	UserID                          *string         `json:"userId" db:"user_id"`
	PrincipalName                   *string         `json:"principalName" db:"principal_name"`
	Name                            *string         `json:"name" db:"name"`
	EmailAddress                    *string         `json:"emailAddress" db:"email_address"`
	DisplayName                     *string         `json:"displayName" db:"display_name"`
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
	Alias                           *string         `json:"alias" db:"alias"`
	AutoReplyEnabled                *bool           `json:"autoReplyEnabled" db:"auto_reply_enabled"`
	LitigationHoldEnabled           *bool           `json:"litigationHoldEnabled" db:"litigation_hold_enabled"`
	EmailForwardingEnabled          *bool           `json:"emailForwardingEnabled" db:"email_forwarding_enabled"`
	ExternalEmailForwardingEnabled  *bool           `json:"externalEmailForwardingEnabled" db:"external_email_forwarding_enabled"`
	ArchiveStatus                   *string         `json:"archiveStatus" db:"archive_status"`
	ArchiveName                     *string         `json:"archiveName" db:"archive_name"`
	LastActivityDate                *time.Time      `json:"lastActivityDate" db:"last_activity_date"`
	ForwardingAddressDomain         *string         `json:"forwardingAddressDomain" db:"forwarding_address_domain"`
	ExternalForwardingAddressDomain *string         `json:"externalForwardingAddressDomain" db:"external_forwarding_address_domain"`
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
	facts
	SyncID       string     `db:"sync_id"`
	LastSeenAt   *time.Time `db:"last_seen_at"`
	MissingSince *time.Time `db:"missing_since"`
	LastSequence int64      `db:"last_sequence"`
}

var mailboxInventory = table[inventoryRow]{name: "mailbox_inventory", key: "tenant, mailbox_id"}

// Apply writes the rows.
func (Inventory) Apply(ctx context.Context, tx pgx.Tx, records []projector.Record) error {
	rows := make([]inventoryRow, len(records))
	for i, record := range records {
		row, err := inventoried(record)
		if err != nil {
			return err
		}
		rows[i] = row
	}
	type key struct{ tenant, id string }
	return mailboxInventory.write(ctx, tx, latest(rows, func(r inventoryRow) key { return key{r.Tenant, r.ID} }))
}

func inventoried(record projector.Record) (inventoryRow, error) {
	e, err := decode(record)
	if err != nil {
		return inventoryRow{}, err
	}
	row := inventoryRow{LastSequence: record.Sequence}
	switch e.Type() {
	case event.MailboxObserved:
		var data event.MailboxObservedData
		if err := into(e, &data); err != nil {
			return row, err
		}
		row.SyncID, row.LastSeenAt = data.SyncID, &data.ObservedAt
		if err := into(e, &struct {
			Mailbox *facts `json:"mailbox"`
		}{&row.facts}); err != nil {
			return row, err
		}
	case event.MailboxMissing:
		var data event.MailboxMissingData
		if err := into(e, &data); err != nil {
			return row, err
		}
		row.SyncID, row.LastSeenAt, row.MissingSince = data.SyncID, data.LastSeenAt, &data.ObservedAt
		if name := text(e.Subject()); name != "" {
			row.DisplayName = &name // the message has no facts, but says for people which mailbox it means
		}
	default:
		return row, projector.Unfitf("type %s is not one of an observation that this version knows", text(e.Type()))
	}
	// The subject is what makes a message the only one of its mailbox; so it is the row's identity.
	row.Tenant, row.ID, err = observedAt(record.Subject)
	return row, err
}

// observedAt reads mailwright.mailbox.<tenant>.<mailbox>.
func observedAt(subject string) (tenant, mailbox string, err error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 4 {
		return "", "", projector.Unfitf("the subject is not one of a mailbox")
	}
	tenant, err1 := bus.Untoken(tokens[2])
	mailbox, err2 := bus.Untoken(tokens[3])
	if err1 != nil || err2 != nil || mailbox == "" {
		return "", "", projector.Unfitf("the subject does not name a tenant and a mailbox")
	}
	return text(tenant), text(mailbox), nil
}
