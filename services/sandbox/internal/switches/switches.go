// Package switches names every behaviour that the vendors' pages leave open. Where a page is
// silent the sandbox has to do something; the table says what, why, and what else it can do.
package switches

import "time"

// Switch is one open question and its present answer.
type Switch struct {
	Name string `json:"name"`
	// Default's type is the switch's: bool, time.Duration, or a string out of Choices.
	Default any      `json:"default"`
	Choices []string `json:"choices,omitempty"`
	// Source is the vendor's page the behaviour was inferred from, or the reason for the choice.
	Source  string `json:"source"`
	Meaning string `json:"meaning"`
}

// The names, so that a reader of a switch cannot misspell it.
const (
	AdaxesRefusals           = "adaxes.refusals"
	AdaxesUnknownFields      = "adaxes.unknown-fields"
	AdaxesUnknownProperties  = "adaxes.unknown-properties"
	AdaxesTypeNumbers        = "adaxes.property-type-numbers"
	AdaxesM365Field          = "adaxes.m365-field"
	AdaxesDNValuesExist      = "adaxes.dn-values-must-exist"
	AdaxesUniquify           = "adaxes.pattern-uniquify"
	AdaxesLicenceFailure     = "adaxes.licence-failure"
	AdaxesAliasMissing       = "adaxes.alias-missing"
	AdaxesBusinessRule       = "adaxes.business-rule"
	AdaxesReadLag            = "adaxes.read-lag"
	AdaxesLowerCase          = "adaxes.lower-case-property-names"
	AdaxesSearchEnvelope     = "adaxes.search-envelope"
	AdaxesRedirect           = "adaxes.redirect-without-api"
	AdaxesTimeForm           = "adaxes.time-form"
	ExchangeAnchor           = "exchangeonline.anchor"
	ExchangeNullParameters   = "exchangeonline.null-parameters"
	ExchangeNotFound         = "exchangeonline.not-found"
	ExchangeWrongCmdlet      = "exchangeonline.wrong-cmdlet"
	ExchangeSingleShape      = "exchangeonline.single-shape"
	ExchangeOutput           = "exchangeonline.output"
	ExchangeSelectUnknown    = "exchangeonline.select-unknown"
	ExchangeDisplayNames     = "exchangeonline.display-names"
	ExchangeDelegateForm     = "exchangeonline.delegate-form"
	ExchangeSetNeedsIdentity = "exchangeonline.set-needs-identity"
	ExchangeHashTableType    = "exchangeonline.hash-table-type"
	ExchangeBareString       = "exchangeonline.hash-table-bare-string"
	ExchangeEmptyOverwrite   = "exchangeonline.empty-overwrite"
	ExchangeSelfDelegate     = "exchangeonline.self-delegate"
	ExchangeNoopWarnings     = "exchangeonline.no-op-warnings"
	ExchangeCursorAffinity   = "exchangeonline.cursor-affinity-failure"
	ExchangeSetBody          = "exchangeonline.set-body"
	ExchangeOrphanShown      = "exchangeonline.orphan-shown"
	ExchangeOrphanWrite      = "exchangeonline.orphan-write"
	ExchangeReadLag          = "exchangeonline.read-lag"
	HostedErrors             = "hostedexchange.errors"
	HostedSOAPRequest        = "hostedexchange.soap-request"
	HostedImpersonate        = "hostedexchange.impersonate"
	HostedUnknownElements    = "hostedexchange.unknown-elements"
	HostedSuppliedSAM        = "hostedexchange.supplied-sam-account-name"
	HostedEchoIsAdmin        = "hostedexchange.echo-is-admin"
	HostedEncoding           = "hostedexchange.encoding"
	LDAPReadLag              = "ldap.read-lag"
	EnPowerTotalCount        = "enpower.total-count"
	EnPowerNextLink          = "enpower.next-link"
	EnPowerTenantForm        = "enpower.tenant-form"
	EnPowerUnknownParameters = "enpower.unknown-parameters"
	EnPowerNewerFields       = "enpower.newer-fields"
	EnPowerActivity          = "enpower.activity"
)

// Table is the whole list, in the order of the programs.
var Table = []Switch{
	{AdaxesRefusals, "result", []string{"result", "http"}, "REST_OperationResult (implied)", "the directory refuses a write: 200 with resultType 1, or an HTTP error"},
	{AdaxesUnknownFields, "reject", []string{"reject", "ignore"}, "not stated; strict to catch misreadings", "a request field that the page does not list"},
	{AdaxesUnknownProperties, "reject", []string{"reject", "accept"}, "Active Directory schema", "a property that the schema lacks"},
	{AdaxesTypeNumbers, true, nil, "Create directory object: enum values are listed with numbers", "propertyType may be a number"},
	{AdaxesM365Field, "o365", []string{"o365", "m365", "both"}, "Create directory object says o365; newer Update page says m365", "name of the Microsoft 365 block"},
	{AdaxesDNValuesExist, true, nil, "Active Directory", "DN values must name existing objects"},
	{AdaxesUniquify, false, nil, "tutorial on property patterns; not stated", "generated names get a number on collision"},
	{AdaxesLicenceFailure, "warning", []string{"warning", "error"}, "inferred", "messageType of a licence that could not be assigned"},
	{AdaxesAliasMissing, "reject", []string{"reject", "default"}, "Create Exchange mailbox: not stated", "neither alias nor aliasTemplate given"},
	{AdaxesBusinessRule, "none", []string{"none", "message", "suspend", "rename", "move"}, "REST_OperationResult; Create directory object, actualObjectDN", "a business rule runs on the create of an object: adds messages, sends for approval, gives it another name, or moves it a level up"},
	{AdaxesReadLag, time.Duration(0), nil, "overview: load balancing over instances (inferred)", "age at which a new object is found by Get and Search"},
	{AdaxesLowerCase, false, nil, "REST_DirectoryObject sample (managedby)", "property names come back in lower case"},
	{AdaxesSearchEnvelope, "objects", []string{"objects", "value", "items", "results", "array"}, "not in the stored pages", "envelope of a search answer"},
	{AdaxesRedirect, true, nil, "third-party observation", "a path without api/ is redirected"},
	{AdaxesTimeForm, "offset", []string{"offset", "no-zone", "generalized", "date"}, "REST_DirectoryObject: ISO 8601; .NET and LDAP have other forms", "form of whenCreated and whenChanged"},
	{ExchangeAnchor, "form", []string{"accept", "require", "form"}, "samples show X-AnchorMailbox on every call; forms from client code", "header unchecked, required, or required in a known form"},
	{ExchangeNullParameters, "reject", []string{"reject", "accept"}, "observed on the sibling transport", "\"Parameters\": null"},
	{ExchangeNotFound, "404", []string{"404", "500"}, "public logs show both", "status of an identity that resolves to nothing"},
	{ExchangeWrongCmdlet, "400", []string{"400", "401", "403"}, "Mailbox endpoint: \"result in an error\"", "status of a cmdlet that the endpoint does not serve"},
	{ExchangeSingleShape, "value", []string{"value", "array", "object"}, "Mailbox endpoint: \"a JSON object or a list array\"", "shape of Get-Mailbox with an Identity"},
	{ExchangeOutput, "full", []string{"full", "core"}, "Mailbox endpoint, Response overview", "preview's full output, or the core properties only"},
	{ExchangeSelectUnknown, "reject", []string{"reject", "ignore"}, "inferred", "$select names an unknown property"},
	{ExchangeDisplayNames, "object", []string{"object", "string", "unavailable"}, "Mailbox endpoint: staged rollout; element shape not stated", "GrantSendOnBehalfToWithDisplayNames"},
	{ExchangeDelegateForm, "smtp", []string{"smtp", "name", "guid"}, "Mailbox endpoint says SMTP; classic output is names", "elements of GrantSendOnBehalfTo"},
	{ExchangeSetNeedsIdentity, true, nil, "Mailbox endpoint: table and body comment differ", "Set-Mailbox without Identity is refused; otherwise it changes the anchor's mailbox"},
	{ExchangeHashTableType, "require", []string{"require", "accept"}, "Mailbox endpoint samples", "@odata.type of the add/remove form"},
	{ExchangeBareString, true, nil, "practitioners", "add or remove may be one string"},
	{ExchangeEmptyOverwrite, "clear", []string{"clear", "reject"}, "not stated", "an empty array for GrantSendOnBehalfTo"},
	{ExchangeSelfDelegate, "accept", []string{"accept", "reject"}, "not stated", "a mailbox as its own delegate"},
	{ExchangeNoopWarnings, false, nil, "inferred", "adding a present or removing an absent delegate warns"},
	{ExchangeCursorAffinity, false, nil, "observed on the sibling transport", "every nextLink fails as expired"},
	{ExchangeSetBody, "empty", []string{"empty", "value"}, "Mailbox endpoint: \"no response body is required\"", "body of a successful Set-Mailbox"},
	{ExchangeOrphanShown, "hidden", []string{"hidden", "guid"}, "saifm365lab.com, \"Automating GrantSendOnBehalfTo at Scale in Hybrid Exchange\"", "a delegate who was deleted is left out of GrantSendOnBehalfTo, or stays as a GUID"},
	{ExchangeOrphanWrite, "not-found", []string{"not-found", "remove"}, "not stated; microsoft/Microsoft365DSC, issue 6769", "Set-Mailbox names a delegate who was deleted: the whole call fails, or the entry is removed"},
	{ExchangeReadLag, time.Duration(0), nil, "inferred", "time until Get-Mailbox shows a new mailbox or a changed delegate list"},
	{HostedErrors, "200", []string{"200", "500"}, "not stated for soapisapi.dll", "status of an errorContext; 500 wraps it in a SOAP Fault"},
	{HostedSOAPRequest, "either", []string{"simple", "trusted", "either"}, "SubmitRequest: simple and trusted requests", "request kinds allowed in a SOAP body"},
	{HostedImpersonate, "require", []string{"require", "accept"}, "CreateBusinessUser, Security; samples", "trusted requests must say impersonate=\"1\""},
	{HostedUnknownElements, "reject", []string{"reject", "ignore"}, "not stated; strict to catch misreadings", "an argument that the page does not list"},
	{HostedSuppliedSAM, "algorithm", []string{"algorithm", "verbatim"}, "CreateConsumerUser: \"unlike CreateBusinessUser\"", "a caller's sAMAccountName"},
	{HostedEchoIsAdmin, false, nil, "CreateBusinessUser sample response lacks it", "isAdmin is echoed"},
	{HostedEncoding, "utf-8", []string{"utf-8", "utf-8-bom", "utf-16", "iso-8859-1", "windows-1252"}, "not stated for soapisapi.dll; XML 1.0, section 4.3.3", "encoding of answers"},
	{LDAPReadLag, time.Duration(0), nil, "replication between domain controllers (inferred)", "age at which a new object is found over LDAP"},
	{EnPowerTotalCount, "total", []string{"total", "page"}, "\"Total number of mailboxes retrieved\"", "totalCount counts the collection or this page"},
	{EnPowerNextLink, "absolute", []string{"absolute", "relative"}, "\"Reference to the next page of results\"", "form of nextLink"},
	{EnPowerTenantForm, "either", []string{"either", "id", "domain"}, "not stated", "what the tenant parameter holds"},
	{EnPowerUnknownParameters, "ignore", []string{"ignore", "reject"}, "inferred", "an unknown query parameter"},
	{EnPowerNewerFields, false, nil, "repository page, August to December 2025", "phaseStartTime, renewalDueDate and nextRenewalDate are present"},
	{EnPowerActivity, false, nil, "for demonstrations", "each scan finds that some mailboxes have grown"},
}

var byName = func() map[string]Switch {
	named := make(map[string]Switch, len(Table))
	for _, entry := range Table {
		named[entry.Name] = entry
	}
	return named
}()
