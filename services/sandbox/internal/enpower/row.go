package enpower

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// timeForm is how EnPower writes times: no zone.
const timeForm = "2006-01-02 15:04:05"

// never is the sentinel for "no activity" in the page's sample.
const never = "0001-01-01 00:00:00"

// row is a mailbox as the page's response sample shows it. Fields of type any take more than
// one JSON type there: null, "", "N/A", an object.
type row struct {
	ID                              string     `json:"id"`
	UserID                          string     `json:"userId"`
	PrincipalName                   string     `json:"principalName"`
	Name                            string     `json:"name"`
	EmailAddress                    string     `json:"emailAddress"`
	DisplayName                     string     `json:"displayName"`
	RecipientType                   string     `json:"recipientType"`
	Status                          string     `json:"status"`
	HiddenFromAddressListsEnabled   bool       `json:"hiddenFromAddressListsEnabled"`
	CreateTime                      string     `json:"createTime"`
	ModifiedTime                    string     `json:"modifiedTime"`
	TenantID                        string     `json:"tenantId"`
	TenantDomain                    string     `json:"tenantDomain"`
	Container                       string     `json:"container"`
	ContainerID                     string     `json:"containerId"`
	ItemCount                       int64      `json:"itemCount"`
	StorageUsed                     int64      `json:"storageUsed"`
	IssueWarningQuota               int64      `json:"issueWarningQuota"`
	ProhibitSendQuota               int64      `json:"prohibitSendQuota"`
	ProhibitSendReceiveQuota        int64      `json:"prohibitSendReceiveQuota"`
	DeletedItemCount                int64      `json:"deletedItemCount"`
	DeletedItemSize                 int64      `json:"deletedItemSize"`
	FirstScanTime                   string     `json:"firstScanTime"`
	FirstName                       *string    `json:"firstName"`
	LastName                        *string    `json:"lastName"`
	Alias                           string     `json:"alias"`
	AutoReplyEnabled                bool       `json:"autoReplyEnabled"`
	LitigationHoldEnabled           bool       `json:"litigationHoldEnabled"`
	EmailForwardingEnabled          bool       `json:"emailForwardingEnabled"`
	ArchiveStatus                   string     `json:"archiveStatus"`
	ArchiveName                     string     `json:"archiveName"`
	LastActivityDate                string     `json:"lastActivityDate"`
	ForwardingAddressDomain         string     `json:"forwardingAddressDomain"`
	ExternalForwardingAddressDomain string     `json:"externalForwardingAddressDomain"`
	ExternalEmailForwardingEnabled  bool       `json:"externalEmailForwardingEnabled"`
	RecipientLimits                 any        `json:"recipientLimits"`
	MailboxPolicies                 policies   `json:"mailboxPolicies"`
	PrimaryContact                  any        `json:"primaryContact"`
	SecondaryContact                any        `json:"secondaryContact"`
	LastRenewalTime                 string     `json:"lastRenewalTime"`
	LastRenewalBy                   any        `json:"lastRenewalBy"`
	RenewProfileApplied             *bool      `json:"renewProfileApplied"`
	Metadata                        []metadata `json:"metadata"`
	ElectionProfileApplied          *bool      `json:"electionProfileApplied"`
	IsRegistered                    bool       `json:"isRegistered"`
	Phase                           string     `json:"phase"`
	PhaseAssignees                  any        `json:"phaseAssignees"`
	RenewProfile                    any        `json:"renewProfile"`
	ElectionProfile                 any        `json:"electionProfile"`
	ClaimStatus                     string     `json:"claimStatus"`
	PhaseStartTime                  *string    `json:"phaseStartTime,omitempty"`
	RenewalDueDate                  *string    `json:"renewalDueDate,omitempty"`
	NextRenewalDate                 *string    `json:"nextRenewalDate,omitempty"`
}

// policies are the Mailbox Policy Details.
type policies struct {
	AddressBookPolicy    *string `json:"addressBookPolicy"`
	RetentionPolicy      *string `json:"retentionPolicy"`
	RoleAssignmentPolicy *string `json:"roleAssignmentPolicy"`
	SharingPolicy        *string `json:"sharingPolicy"`
}

// person is the User Details.
type person struct {
	ID                string `json:"id"`
	DisplayName       string `json:"displayName"`
	Email             string `json:"email"`
	TenantID          string `json:"tenantId"`
	UserPrincipalName string `json:"userPrincipalName"`
	ObjectID          string `json:"objectId"`
	JobTitle          string `json:"jobTitle"`
	Department        string `json:"department"`
	CompanyName       string `json:"companyName"`
	Office            string `json:"office"`
	City              string `json:"city"`
	CountryOrRegion   string `json:"countryOrRegion"`
}

// profile is the Cloud Governance Profile Details.
type profile struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// metadata is one item of the Cloud Governance Metadata Details.
type metadata struct {
	MetadataType    int    `json:"metadataType"`
	Value           any    `json:"value"`
	ID              string `json:"id"`
	Name            string `json:"name"`
	MetadataSetting any    `json:"metadataSetting"`
}

// recipientTypes are display texts; "Shared mailbox" follows the pattern of those on the pages.
var recipientTypes = map[string]string{
	"UserMailbox": "User mailbox", "SharedMailbox": "Shared mailbox", "RoomMailbox": "Room mailbox", "EquipmentMailbox": "Equipment mailbox",
}

func pointer[T any](value T) *T { return &value }

// rowOf shows what a scan saw. The governance fields, which the tenant's state lacks, vary with
// the mailbox's identifier, so that every awkward shape of the sample turns up somewhere.
func rowOf(v *state.View, newer bool) row {
	m := v.Mailbox
	shape := shapeOf(m.GUID)
	r := row{
		ID: m.GUID, UserID: m.EntraID, PrincipalName: m.UPN, Name: m.Name, EmailAddress: m.Primary, DisplayName: m.DisplayName,
		RecipientType: recipientTypes[m.Type], Status: "Normal", HiddenFromAddressListsEnabled: m.Hidden,
		CreateTime: m.Created.Format(timeForm), ModifiedTime: m.Changed.Format(timeForm), TenantID: v.TenantID, TenantDomain: v.TenantDomain,
		Container: "Default Exchange mailbox container", ContainerID: "0f8c9a51-3d2e-4b7a-9c61-5e4d3c2b1a09",
		ItemCount: m.Items, StorageUsed: m.StorageMB, IssueWarningQuota: m.QuotaMB * 98 / 100, ProhibitSendQuota: m.QuotaMB * 99 / 100,
		ProhibitSendReceiveQuota: m.QuotaMB, DeletedItemCount: m.Items / 28, DeletedItemSize: m.StorageMB / 50,
		FirstScanTime: v.FirstScan.Format(timeForm), Alias: m.Alias, ArchiveStatus: "None", LastActivityDate: never,
		RecipientLimits: "500", Metadata: []metadata{}, PhaseAssignees: "", RenewProfile: "N/A", ElectionProfile: "N/A",
		MailboxPolicies: policies{nil, pointer("Default MRM Policy"), pointer("Default Role Assignment Policy"), pointer("Default Sharing Policy")},
	}
	if m.First != "" || m.Last != "" {
		r.FirstName, r.LastName = pointer(m.First), pointer(m.Last)
	}
	if newer {
		r.PhaseStartTime, r.RenewalDueDate, r.NextRenewalDate = pointer(""), pointer(""), pointer("")
	}
	r.vary(shape, m.Changed)
	return r
}

func shapeOf(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // a hash does not fail
	return h.Sum32()
}

// vary spreads the documented shapes over the mailboxes.
func (r *row) vary(shape uint32, active time.Time) {
	if shape%5 != 0 {
		r.LastActivityDate = active.Format(timeForm)
	}
	switch shape % 4 {
	case 1:
		r.RecipientLimits = 500
	case 2:
		r.RecipientLimits = "Unlimited"
	}
	if shape%7 == 0 {
		r.Status, r.ArchiveStatus, r.ArchiveName = "Archived", "Active", "In-Place Archive -"+r.DisplayName
	}
	if shape%6 == 0 {
		r.EmailForwardingEnabled, r.ForwardingAddressDomain = true, "contoso.com"
	}
	if shape%11 == 0 {
		r.ExternalEmailForwardingEnabled, r.ExternalForwardingAddressDomain = true, "example.org"
	}
	r.AutoReplyEnabled, r.LitigationHoldEnabled = shape%9 == 0, shape%8 == 0
	if shape%3 == 0 {
		r.govern(shape)
	}
}

// govern fills the Cloud Governance part.
func (r *row) govern(shape uint32) {
	contact := person{
		ID: "c0ffee00-0000-4000-8000-000000000001", DisplayName: "Contoso Admin", Email: "admin@contoso.com", TenantID: r.TenantID,
		UserPrincipalName: "admin@contoso.com", ObjectID: "c0ffee00-0000-4000-8000-000000000002", JobTitle: "Administrator",
		Department: "IT", CompanyName: "Contoso", Office: "HQ", City: "Zürich", CountryOrRegion: "Switzerland",
	}
	r.IsRegistered, r.Phase, r.ClaimStatus = true, "RenewalExpired", "Claimed"
	r.PrimaryContact, r.LastRenewalBy, r.LastRenewalTime = contact, contact, "2025-03-04 05:06:07"
	r.RenewProfileApplied, r.ElectionProfileApplied = pointer(true), pointer(shape%2 == 0)
	r.RenewProfile = profile{"Default renewal profile", "c0ffee00-0000-4000-8000-000000000003"}
	r.ElectionProfile = profile{"Default election profile", "c0ffee00-0000-4000-8000-000000000004"}
	switch shape % 2 {
	case 0:
		r.PhaseAssignees = contact
		r.Metadata = []metadata{{1, "Finance", "c0ffee00-0000-4000-8000-000000000005", "Cost centre", map[string]any{}}}
	case 1:
		r.PhaseAssignees, r.SecondaryContact = []person{contact}, ""
		r.Metadata = []metadata{{3, map[string]any{"value": true}, "c0ffee00-0000-4000-8000-000000000006", "Confidential", nil}}
	}
}

// madeUp is mailbox number i of the population: every tenth is a shared one.
func madeUp(p state.Population, i int, newer bool) row {
	sum := sha256.Sum256(fmt.Appendf(nil, "population %d", i))
	text := hex.EncodeToString(sum[:16])
	id := text[:8] + "-" + text[8:12] + "-4" + text[13:16] + "-8" + text[17:20] + "-" + text[20:]
	alias := fmt.Sprintf("mailbox%07d", i)
	kind := "UserMailbox"
	if shared(i) {
		kind = "SharedMailbox"
	}
	created := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Minute)
	items := int64(i % 5003)
	if lot(i, 2) < p.Changed {
		items++
	}
	domain := strings.TrimSuffix(p.TenantDomain, ".onmicrosoft.com") + ".com"
	v := &state.View{FirstScan: created.AddDate(0, 1, 0), TenantID: p.TenantID, TenantDomain: p.TenantDomain, Mailbox: &state.Mailbox{
		GUID: id, EntraID: id, Name: alias, DisplayName: fmt.Sprintf("Mailbox %d", i), UPN: alias + "@" + domain, Primary: alias + "@" + domain,
		Alias: alias, Type: kind, QuotaMB: 102400, Items: items, StorageMB: int64(i % 90001), Created: created, Changed: created.AddDate(1, 0, 0),
	}}
	return rowOf(v, newer)
}

func shared(i int) bool { return i%10 == 9 }

// removed reports whether mailbox number i is not listed.
func removed(p state.Population, i int) bool { return lot(i, 1) < p.Removed }

// lot is what mailbox number i draws, from 0 up to 1; another for each drawing. It is SplitMix64's
// output function.
func lot(i int, drawing uint64) float64 {
	z := uint64(i)<<8 + drawing
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64(z^z>>31) / (1 << 64)
}
