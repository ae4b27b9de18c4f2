package directory

import (
	"regexp"
	"strings"
)

// Syntax is an attribute's value syntax, under the names that Adaxes gives them.
type Syntax string

// The syntaxes (Adaxes, "Create directory object", properties.propertyType).
const (
	DNSyntax     Syntax = "DN"
	String       Syntax = "String"
	Boolean      Syntax = "Boolean"
	Integer      Syntax = "Integer"
	Binary       Syntax = "Binary"
	DateTime     Syntax = "DateTime"
	LargeInteger Syntax = "LargeInteger"
	Timestamp    Syntax = "Timestamp"
)

// Attribute is one entry of the schema.
type Attribute struct {
	Name   string
	Syntax Syntax
	Multi  bool
}

// schemaText lists the attributes: Active Directory's for users, contacts, groups, computers,
// units, printers and shares, as far as anyone sets them. An asterisk marks many values.
var schemaText = map[Syntax]string{
	String: `cn name displayName givenName sn middleName initials description info comment title department division
		company employeeID employeeNumber employeeType userPrincipalName sAMAccountName mail mailNickname
		proxyAddresses* targetAddress legacyExchangeDN unicodePwd physicalDeliveryOfficeName telephoneNumber
		otherTelephone* homePhone otherHomePhone* mobile otherMobile* pager otherPager* facsimileTelephoneNumber
		otherFacsimileTelephoneNumber* ipPhone otherIpPhone* street streetAddress l st postalCode postOfficeBox*
		postalAddress* homePostalAddress c co wWWHomePage url* homeDirectory homeDrive profilePath scriptPath
		userWorkstations personalTitle generationQualifier preferredLanguage carLicense* departmentNumber*
		roomNumber* uid* unixHomeDirectory loginShell adminDescription adminDisplayName displayNamePrintable ou dc
		location dNSHostName operatingSystem operatingSystemVersion servicePrincipalName* uNCName printerName
		serverName portName* driverName keywords* msExchQueryBaseDN msExchAssistantName msExchHomeServerName
		msRTCSIP-PrimaryUserAddress telephoneAssistant primaryInternationalISDNNumber otherMailbox* o organizationName
		houseIdentifier* businessCategory* distinguishedName objectSid objectClass* objectCategory`,
	DNSyntax: `manager assistant secretary* seeAlso* managedBy member* memberOf* directReports* publicDelegates* altRecipient
		homeMDB showInAddressBook* authOrig* unauthOrig* adm-userOrGroupThatCanJoinComputerToDomain`,
	Boolean: `msExchHideFromAddressLists deliverAndRedirect mDBUseDefaults msExchRequireAuthToSendTo
		adm-ProtectedFromDeletion printColor printDuplexSupported`,
	Integer: `userAccountControl groupType countryCode codePage uidNumber gidNumber delivContLength mDBStorageQuota
		mDBOverQuotaLimit mDBOverHardQuotaLimit msExchMailboxFolderSet msExchUserAccountControl
		msDS-SupportedEncryptionTypes localeID*`,
	Binary: `thumbnailPhoto jpegPhoto* photo* logonHours userCertificate* userSMIMECertificate msExchMailboxGuid
		objectGUID thumbnailLogo`,
	LargeInteger: `pwdLastSet lastLogonTimestamp lockoutTime msExchRecipientTypeDetails uSNCreated uSNChanged`,
	DateTime:     `whenCreated whenChanged msExchWhenMailboxCreated`,
	Timestamp:    `accountExpires`,
}

// schemaPatterns are the numbered families, Exchange's and Adaxes' virtual ones.
var schemaPatterns = []struct {
	match  *regexp.Regexp
	syntax Syntax
	multi  bool
}{
	{regexp.MustCompile(`(?i)^extensionAttribute([1-9]|1[0-5])$`), String, false},
	{regexp.MustCompile(`(?i)^msDS-cloudExtensionAttribute([1-9]|1[0-9]|20)$`), String, false},
	{regexp.MustCompile(`(?i)^msExchExtensionCustomAttribute[1-5]$`), String, true},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeText\d{1,3}$`), String, false},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeTextMultiValue\d{1,3}$`), String, true},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeBoolean\d{1,3}$`), Boolean, false},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeInt\d{1,3}$`), Integer, false},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeDate\d{1,3}$`), DateTime, false},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeTimestamp\d{1,3}$`), Timestamp, false},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeObject\d{1,3}$`), DNSyntax, false},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeObjectMultiValue\d{1,3}$`), DNSyntax, true},
	{regexp.MustCompile(`(?i)^adm-CustomAttributeBinary\d{1,3}$`), Binary, false},
}

var attributes = func() map[string]Attribute {
	all := map[string]Attribute{}
	for syntax, names := range schemaText {
		for _, name := range strings.Fields(names) {
			plain := strings.TrimSuffix(name, "*")
			all[strings.ToLower(plain)] = Attribute{Name: plain, Syntax: syntax, Multi: plain != name}
		}
	}
	return all
}()

// FindAttribute looks an attribute up by its name in any case.
func FindAttribute(name string) (Attribute, bool) {
	if found, ok := attributes[strings.ToLower(name)]; ok {
		return found, true
	}
	for _, family := range schemaPatterns {
		if family.match.MatchString(name) {
			return Attribute{Name: name, Syntax: family.syntax, Multi: family.multi}, true
		}
	}
	return Attribute{}, false
}
