package event

import "encoding/json"

// ObjectCreateData is the data of directory.object.create: Adaxes, "Create directory object".
type ObjectCreateData struct {
	// CreateIn is the organizational unit or container: DN or GUID.
	CreateIn string `json:"createIn"`
	// ObjectType is the object class, one of eight: user, group, computer, …
	ObjectType string     `json:"objectType"`
	Properties []Property `json:"properties"`
	// Microsoft365 assigns licences to a created user.
	Microsoft365 *Microsoft365 `json:"o365,omitempty"`
	// Photo is base64; users and contacts.
	Photo string `json:"photo,omitempty"`
	// PreWindows2000Computer is for computers.
	PreWindows2000Computer *bool `json:"isPreWindows2000Computer,omitempty"`
}

// Property is one property of a new directory object.
type Property struct {
	// Name is a schema name or an Adaxes virtual property (adm-…).
	Name string `json:"propertyName"`
	// Type is an Adaxes property type: a JSON string (its name) or number.
	Type json.RawMessage `json:"propertyType"`
	// Values are JSON strings, booleans or integers, as Type asks.
	Values []json.RawMessage `json:"values"`
}

// Microsoft365 is Adaxes' Microsoft365AccountProperties.
type Microsoft365 struct {
	// LocationName is an ISO 3166-1 alpha-2 country.
	LocationName         string                `json:"locationName"`
	SignInBlocked        *bool                 `json:"signInBlocked,omitempty"`
	LicenseModifications []LicenseModification `json:"licenseModifications,omitempty"`
	// SealTo is a public key of age (age1…), to which a temporary password that the vendor makes
	// up is sealed; see [ObjectCreatedData].
	SealTo string `json:"sealTo,omitempty"`
}

// LicenseModification assigns or revokes one licence.
type LicenseModification struct {
	SKUPartNumber    string   `json:"skuPartNumber"`
	Assigned         bool     `json:"assigned"`
	EnabledServices  []string `json:"enabledServices,omitempty"`
	DisabledServices []string `json:"disabledServices,omitempty"`
}

// BusinessUserCreateData is the data of directory.businessuser.create: Hosted Exchange,
// CreateBusinessUser.
type BusinessUserCreateData struct {
	// Container is the LDAP path of the organisation's OU.
	Container                 string     `json:"container"`
	UserPrincipalName         string     `json:"userPrincipalName"`
	PreferredDomainController string     `json:"preferredDomainController"`
	IsAdmin                   bool       `json:"isAdmin"`
	PlanName                  string     `json:"planName,omitempty"`
	MailStore                 *MailStore `json:"mailStore,omitempty"`
	// NewPassword is secret.
	NewPassword    string              `json:"newPassword,omitempty"`
	DisplayName    string              `json:"displayName,omitempty"`
	GivenName      string              `json:"givenName,omitempty"`
	MiddleName     string              `json:"middleName,omitempty"`
	Surname        string              `json:"sn,omitempty"`
	Initials       string              `json:"initials,omitempty"`
	Description    string              `json:"description,omitempty"`
	Properties     []DirectoryProperty `json:"properties,omitempty"`
	ProxyAddresses []string            `json:"proxyAddresses,omitempty"`
	Alias          string              `json:"alias,omitempty"`
	SAMAccountName string              `json:"sAMAccountName,omitempty"`
}

// MailStore says where a hosted mailbox goes: by algorithm, or by server and store together.
type MailStore struct {
	// Algorithm is "level" or "tightPack", the vendor's default.
	Algorithm     string `json:"algorithm,omitempty"`
	ServerName    string `json:"serverName,omitempty"`
	MailStoreName string `json:"mailStoreName,omitempty"`
}

// DirectoryProperty is a further Active Directory property of a business user.
type DirectoryProperty struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// MailboxCreateData is the data of mailbox.create: Adaxes, "Create Exchange mailbox".
type MailboxCreateData struct {
	// DirectoryObject is the user: DN, GUID or SID.
	DirectoryObject string            `json:"directoryObject"`
	Parameters      MailboxParameters `json:"mailboxParameters"`
}

// MailboxParameters needs Alias or AliasTemplate; Alias wins.
type MailboxParameters struct {
	Alias         string `json:"alias,omitempty"`
	AliasTemplate string `json:"aliasTemplate,omitempty"`
	// Storage is a database's DN or GUID; empty: Exchange picks.
	Storage string `json:"mailboxStorage,omitempty"`
}

// DelegationSetData is the data of delegation.set: replaces the whole list.
type DelegationSetData struct {
	Mailbox   string   `json:"mailbox"`
	Delegates []string `json:"delegates"`
}

// DelegationChangeData is the data of delegation.change: adds and removes, and leaves the others.
type DelegationChangeData struct {
	Mailbox string   `json:"mailbox"`
	Add     []string `json:"add,omitempty"`
	Remove  []string `json:"remove,omitempty"`
}

// DelegationReadData is the data of delegation.read.
type DelegationReadData struct {
	// DomainMailbox to read; empty: every mailbox.
	Mailbox          string `json:"mailbox,omitempty"`
	WithDisplayNames bool   `json:"withDisplayNames,omitempty"`
	// PageSize is 1 to 1000; 0: the vendor's default, 1,000.
	PageSize Int `json:"pageSize,omitempty"`
	// Select names further properties to report.
	Select []string `json:"select,omitempty"`
}

// FolderGrantData is the data of delegation.folder.grant: gives a delegate exactly these rights on
// a folder.
type FolderGrantData struct {
	Mailbox string `json:"mailbox"`
	// Folder is its path: "Calendar", "Inbox\Projects".
	Folder string `json:"folder"`
	// Delegate is an SMTP address.
	Delegate string `json:"delegate"`
	// AccessRights are roles or single rights: Editor, ReadItems, …
	AccessRights []string `json:"accessRights"`
	// SharingPermissionFlags are Delegate and CanViewPrivateItems, for a calendar; empty: as they
	// are.
	SharingPermissionFlags []string `json:"sharingPermissionFlags,omitempty"`
}

// FolderRevokeData is the data of delegation.folder.revoke: takes a delegate's entry away.
type FolderRevokeData struct {
	Mailbox  string `json:"mailbox"`
	Folder   string `json:"folder"`
	Delegate string `json:"delegate"`
}

// FolderReadData is the data of delegation.folder.read.
type FolderReadData struct {
	Mailbox string `json:"mailbox"`
	// Folder is its path; empty: Calendar.
	Folder string `json:"folder,omitempty"`
}

// InventorySyncData is the data of inventory.sync: AvePoint EnPower.
type InventorySyncData struct {
	// Tenant restricts to one tenant as EnPower names it; empty: all.
	Tenant string `json:"tenant,omitempty"`
	// MailboxType is all (user and shared), user, shared, resource (rooms and equipment), room or
	// equipment; empty: all.
	MailboxType string `json:"mailboxType,omitempty"`
	// PageSize is 1 to 1000; 0: 1000.
	PageSize Int `json:"pageSize,omitempty"`
	// AcceptMissing reports mailboxes as missing however many they are.
	AcceptMissing bool `json:"acceptMissing,omitempty"`
}

// OperationCancelData is the data of operation.cancel.
type OperationCancelData struct {
	OperationID string `json:"operationId"`
}
