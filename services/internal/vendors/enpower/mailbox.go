package enpower

import (
	"encoding/json"
	"time"
)

// Mailbox is one user or shared mailbox as EnPower's last scan saw it, with every field that the
// vendor documents (the page, "Mailbox Details").
//
// It reads the vendor's JSON in all the shapes that it comes in, and its own. Its own, the
// normalised form, is what encoding/json writes: the vendor's names; times in RFC 3339, UTC; and no
// member for what the vendor left out or gave as null, "", "N/A" or the year 1. Reading the
// normalised form gives the same Mailbox again.
//
// Quotas and sizes are in MiB, as far as the sample's values let one infer: the page names no unit.
type Mailbox struct {
	// ID identifies the mailbox in PowerShell, and with TenantID in EnPower.
	ID string `json:"id,omitempty"`
	// UserID is the identifier in Microsoft 365.
	UserID        string `json:"userId,omitempty"`
	PrincipalName string `json:"principalName,omitempty"`
	// Name is the name in PowerShell.
	Name         string `json:"name,omitempty"`
	EmailAddress string `json:"emailAddress,omitempty"`
	DisplayName  string `json:"displayName,omitempty"`
	// RecipientType is display text, such as "User mailbox".
	RecipientType string `json:"recipientType,omitempty"`
	// Status is an open set: "Archived" and "Normal" were seen.
	Status                        string `json:"status,omitempty"`
	HiddenFromAddressListsEnabled *bool  `json:"hiddenFromAddressListsEnabled,omitempty"`
	// CreateTime and all other times come without a zone and are taken for UTC (inferred).
	CreateTime   *time.Time `json:"createTime,omitempty"`
	ModifiedTime *time.Time `json:"modifiedTime,omitempty"`
	TenantID     string     `json:"tenantId,omitempty"`
	TenantDomain string     `json:"tenantDomain,omitempty"`
	// Container is EnPower's own grouping.
	Container                string `json:"container,omitempty"`
	ContainerID              string `json:"containerId,omitempty"`
	ItemCount                *int64 `json:"itemCount,omitempty"`
	StorageUsed              *int64 `json:"storageUsed,omitempty"`
	IssueWarningQuota        *int64 `json:"issueWarningQuota,omitempty"`
	ProhibitSendQuota        *int64 `json:"prohibitSendQuota,omitempty"`
	ProhibitSendReceiveQuota *int64 `json:"prohibitSendReceiveQuota,omitempty"`
	// DeletedItemCount and DeletedItemSize are about the folder Deleted items.
	DeletedItemCount *int64 `json:"deletedItemCount,omitempty"`
	DeletedItemSize  *int64 `json:"deletedItemSize,omitempty"`
	// FirstScanTime is when EnPower first saw the mailbox.
	FirstScanTime          *time.Time `json:"firstScanTime,omitempty"`
	FirstName              string     `json:"firstName,omitempty"`
	LastName               string     `json:"lastName,omitempty"`
	Alias                  string     `json:"alias,omitempty"`
	AutoReplyEnabled       *bool      `json:"autoReplyEnabled,omitempty"`
	LitigationHoldEnabled  *bool      `json:"litigationHoldEnabled,omitempty"`
	EmailForwardingEnabled *bool      `json:"emailForwardingEnabled,omitempty"`
	ArchiveStatus          string     `json:"archiveStatus,omitempty"`
	ArchiveName            string     `json:"archiveName,omitempty"`
	// LastActivityDate is nil for a mailbox that was never active.
	LastActivityDate                *time.Time `json:"lastActivityDate,omitempty"`
	ForwardingAddressDomain         string     `json:"forwardingAddressDomain,omitempty"`
	ExternalForwardingAddressDomain string     `json:"externalForwardingAddressDomain,omitempty"`
	ExternalEmailForwardingEnabled  *bool      `json:"externalEmailForwardingEnabled,omitempty"`
	// RecipientLimits is a number, which the vendor documents as an integer and gives as text, or
	// "Unlimited" (inferred).
	RecipientLimits string    `json:"recipientLimits,omitempty"`
	MailboxPolicies *Policies `json:"mailboxPolicies,omitempty"`

	// The following members are those of Cloud Governance.

	PrimaryContact   *Person    `json:"primaryContact,omitempty"`
	SecondaryContact *Person    `json:"secondaryContact,omitempty"`
	LastRenewalTime  *time.Time `json:"lastRenewalTime,omitempty"`
	LastRenewalBy    *Person    `json:"lastRenewalBy,omitempty"`
	// PhaseStartTime, RenewalDueDate and NextRenewalDate joined the page in 2025.
	PhaseStartTime         *time.Time `json:"phaseStartTime,omitempty"`
	RenewalDueDate         *time.Time `json:"renewalDueDate,omitempty"`
	NextRenewalDate        *time.Time `json:"nextRenewalDate,omitempty"`
	RenewProfileApplied    *bool      `json:"renewProfileApplied,omitempty"`
	Metadata               []Metadata `json:"metadata,omitempty"`
	ElectionProfileApplied *bool      `json:"electionProfileApplied,omitempty"`
	// IsRegistered: the mailbox was imported to Cloud Governance.
	IsRegistered *bool `json:"isRegistered,omitempty"`
	// Phase and ClaimStatus are open sets.
	Phase           string   `json:"phase,omitempty"`
	PhaseAssignees  []Person `json:"phaseAssignees,omitempty"`
	RenewProfile    *Profile `json:"renewProfile,omitempty"`
	ElectionProfile *Profile `json:"electionProfile,omitempty"`
	ClaimStatus     string   `json:"claimStatus,omitempty"`

	// Extra holds what has no field above, by the vendor's name: members that the vendor added
	// since, and values of documented members in a shape that fits their type nowhere.
	Extra Extra `json:"extra,omitempty"`
}

// Key tells a mailbox from all others, of all tenants: its id, which its tenant gave it, after that
// of the tenant; "" for one without an id.
func (m Mailbox) Key() string {
	if m.ID == "" || m.TenantID == "" {
		return m.ID
	}
	return m.TenantID + "/" + m.ID
}

// Policies are the names of the policies applied (the page, "Mailbox Policy Details").
type Policies struct {
	AddressBookPolicy    string `json:"addressBookPolicy,omitempty"`
	RetentionPolicy      string `json:"retentionPolicy,omitempty"`
	RoleAssignmentPolicy string `json:"roleAssignmentPolicy,omitempty"`
	SharingPolicy        string `json:"sharingPolicy,omitempty"`
	Extra                Extra  `json:"extra,omitempty"`
}

// Person is a Cloud Governance user (the page, "User Details").
type Person struct {
	ID                string `json:"id,omitempty"`
	DisplayName       string `json:"displayName,omitempty"`
	Email             string `json:"email,omitempty"`
	TenantID          string `json:"tenantId,omitempty"`
	UserPrincipalName string `json:"userPrincipalName,omitempty"`
	ObjectID          string `json:"objectId,omitempty"`
	JobTitle          string `json:"jobTitle,omitempty"`
	Department        string `json:"department,omitempty"`
	CompanyName       string `json:"companyName,omitempty"`
	Office            string `json:"office,omitempty"`
	City              string `json:"city,omitempty"`
	CountryOrRegion   string `json:"countryOrRegion,omitempty"`
	Extra             Extra  `json:"extra,omitempty"`
}

// Profile is a Cloud Governance profile (the page, "Cloud Governance Profile Details").
type Profile struct {
	Name  string `json:"name,omitempty"`
	ID    string `json:"id,omitempty"`
	Extra Extra  `json:"extra,omitempty"`
}

// Metadata is one item of Cloud Governance metadata (the page, "Cloud Governance Metadata
// Details").
type Metadata struct {
	// MetadataType is 0 none, 1 single line of text, 2 multiple lines, 3 yes/no, 4 choice, 5 people
	// picker filter profile, 6 managed metadata, 7 hyperlink, 8 user profile property, 9 Microsoft
	// Entra property, 10 lookup, 11 user property.
	MetadataType *int64 `json:"metadataType,omitempty"`
	// Value and MetadataSetting are any JSON; nil for null.
	Value           json.RawMessage `json:"value,omitempty"`
	ID              string          `json:"id,omitempty"`
	Name            string          `json:"name,omitempty"`
	MetadataSetting json.RawMessage `json:"metadataSetting,omitempty"`
	Extra           Extra           `json:"extra,omitempty"`
}

// Extra is JSON by name.
type Extra map[string]json.RawMessage
