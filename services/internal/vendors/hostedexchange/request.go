package hostedexchange

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
)

// BusinessUser holds every argument of CreateBusinessUser. Container, UserPrincipalName and
// PreferredDomainController are required; an empty optional one is not sent.
type BusinessUser struct {
	// Container is the LDAP path of the organisation's OU:
	// "LDAP://OU=alpineskihouse,OU=Hosting,DC=fabrikam,DC=com".
	Container string
	// UserPrincipalName also becomes the user's CN.
	UserPrincipalName string
	// PreferredDomainController is the FQDN of the domain controller that does the work.
	PreferredDomainController string
	// IsAdmin makes the user an administrator of the organisation.
	IsAdmin bool
	// PlanName is the mailbox plan; without it the user gets no mailbox.
	PlanName string
	// MailStore says where the mailbox goes; nil leaves it to the vendor.
	MailStore   *MailStore
	NewPassword secret.String
	DisplayName string
	GivenName   string
	MiddleName  string
	SN          string // surname
	Initials    string
	Description string
	// Properties are further Active Directory attributes of class user, passwords excepted.
	Properties []Property
	// ProxyAddresses are further addresses, in domains of the organisation; the vendor ignores them
	// without PlanName.
	ProxyAddresses []string
	// Alias is the mailbox's alias; default is the prefix of UserPrincipalName.
	Alias string
	// SAMAccountName is a wish: the vendor makes it unique. Default is made from UserPrincipalName.
	SAMAccountName string
}

// MailStore chooses the mailbox's store, by an algorithm or by name.
type MailStore struct {
	// Algorithm is "level" or "tightPack", the vendor's default.
	Algorithm string
	// ServerName and MailStoreName go together; the organisation must own space there.
	ServerName, MailStoreName string
}

// Property is an Active Directory attribute with at least one value.
type Property struct {
	Name   string
	Values []string
}

// The request's XML, in the order of the page's samples.
type (
	wireRequest struct {
		XMLName xml.Name    `xml:"request"`
		Execute wireExecute `xml:"procedure>execute"`
	}
	wireExecute struct {
		Namespace   string    `xml:"namespace,attr"`
		Procedure   string    `xml:"procedure,attr"`
		Impersonate string    `xml:"impersonate,attr"`
		Data        any       `xml:"executeData"`
		After       wireAfter `xml:"after"`
	}
	wireBusinessUser struct {
		PreferredDomainController string          `xml:"preferredDomainController"`
		Container                 string          `xml:"container"`
		UserPrincipalName         string          `xml:"userPrincipalName"`
		DisplayName               string          `xml:"displayName,omitempty"`
		GivenName                 string          `xml:"givenName,omitempty"`
		MiddleName                string          `xml:"middleName,omitempty"`
		SN                        string          `xml:"sn,omitempty"`
		Initials                  string          `xml:"initials,omitempty"`
		NewPassword               *wirePassword   `xml:"newPassword"`
		Description               string          `xml:"description,omitempty"`
		PlanName                  string          `xml:"planName,omitempty"`
		MailStore                 *wireMailStore  `xml:"mailStore"`
		IsAdmin                   bool            `xml:"isAdmin"`
		Properties                *wireProperties `xml:"properties"`
		ProxyAddresses            *wireValues     `xml:"proxyAddresses"`
		Alias                     string          `xml:"alias,omitempty"`
		SAMAccountName            string          `xml:"sAMAccountName,omitempty"`
	}
	wirePassword struct {
		DoNotLog string `xml:"do-not-log,attr"`
		Value    string `xml:",chardata"`
	}
	wireMailStore struct {
		Algorithm     string `xml:"algorithm,attr,omitempty"`
		ServerName    string `xml:"serverName,omitempty"`
		MailStoreName string `xml:"mailStoreName,omitempty"`
	}
	wireProperties struct {
		Properties []wireProperty `xml:"property"`
	}
	wireProperty struct {
		Name   string   `xml:"name,attr"`
		Text   string   `xml:",chardata"` // the value where there is one
		Values []string `xml:"value"`     // where there are several
	}
	wireValues struct {
		Values []string `xml:"value"`
	}
	// wireAfter has the whole of executeData merged into the answer. Without it the answer's data
	// is empty although the work was done.
	wireAfter struct {
		Source      string `xml:"source,attr"`
		Destination string `xml:"destination,attr"`
		Mode        string `xml:"mode,attr"`
	}
)

// The SOAP envelope. encoding/xml writes prefixes only where they stand in the names.
type (
	wireEnvelope struct {
		XMLName       xml.Name   `xml:"SOAP-ENV:Envelope"`
		Namespace     string     `xml:"xmlns:SOAP-ENV,attr"`
		EncodingStyle string     `xml:"SOAP-ENV:encodingStyle,attr"`
		Header        wireHeader `xml:"SOAP-ENV:Header"`
		Body          wireBody   `xml:"SOAP-ENV:Body"`
	}
	wireHeader struct {
		EncodingStyle string           `xml:"SOAP-ENV:encodingStyle,attr"`
		Provisioning  wireProvisioning `xml:"provisioning"`
	}
	wireProvisioning struct {
		EncodingStyle  string `xml:"SOAP-ENV:encodingStyle,attr"`
		MustUnderstand string `xml:"SOAP-ENV:mustUnderstand,attr"`
		Namespace      string `xml:"namespace"`
		Procedure      string `xml:"procedure"`
	}
	wireBody struct {
		EncodingStyle string `xml:"SOAP-ENV:encodingStyle,attr"`
		Request       wireRequest
	}
)

// namespace holds the procedures that this package calls.
const namespace = "Hosted Exchange"

// request checks the user and returns the request in the form of the transport.
func (u BusinessUser) request(form string) ([]byte, error) {
	if faults := u.faults(); len(faults) > 0 {
		return nil, invalid(faults)
	}
	return document(form, createBusinessUser, u.wire())
}

func invalid(faults []string) error {
	return &failure.Error{Kind: failure.Invalid, Vendor: Vendor, Text: strings.Join(faults, "; ")}
}

// document writes a call of a procedure in the form of the transport. data are its arguments.
func document(form, procedure string, data any) ([]byte, error) {
	request := wireRequest{Execute: wireExecute{
		Namespace: namespace, Procedure: procedure, Impersonate: "1", Data: data,
		After: wireAfter{"executeData", "data", "merge"},
	}}
	var document any = request
	if form == SOAP {
		document = wireEnvelope{
			Namespace: "http://schemas.xmlsoap.org/soap/envelope/",
			Header:    wireHeader{Provisioning: wireProvisioning{MustUnderstand: "1", Namespace: namespace, Procedure: procedure}},
			Body:      wireBody{Request: request},
		}
	}
	b, err := xml.Marshal(document)
	if err != nil {
		return nil, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the request can not be written as XML", Cause: err}
	}
	return append([]byte(xml.Header), b...), nil
}

func (u BusinessUser) wire() wireBusinessUser {
	w := wireBusinessUser{
		PreferredDomainController: u.PreferredDomainController, Container: u.Container, UserPrincipalName: u.UserPrincipalName,
		DisplayName: u.DisplayName, GivenName: u.GivenName, MiddleName: u.MiddleName, SN: u.SN, Initials: u.Initials,
		Description: u.Description, PlanName: u.PlanName, IsAdmin: u.IsAdmin, Alias: u.Alias, SAMAccountName: u.SAMAccountName,
	}
	if !u.NewPassword.IsZero() { // an empty element might set an empty password
		w.NewPassword = &wirePassword{"1", u.NewPassword.Reveal()}
	}
	w.MailStore = u.MailStore.wire()
	if len(u.Properties) > 0 {
		w.Properties = &wireProperties{}
	}
	for _, p := range u.Properties {
		property := wireProperty{Name: p.Name}
		if len(p.Values) == 1 {
			property.Text = p.Values[0]
		} else {
			property.Values = p.Values
		}
		w.Properties.Properties = append(w.Properties.Properties, property)
	}
	if len(u.ProxyAddresses) > 0 {
		w.ProxyAddresses = &wireValues{u.ProxyAddresses}
	}
	return w
}

func (m *MailStore) wire() *wireMailStore {
	if m == nil {
		return nil
	}
	return &wireMailStore{m.Algorithm, m.ServerName, m.MailStoreName}
}

// faults names what is wrong with the user.
func (u BusinessUser) faults() []string {
	var faults []string
	required := func(name, value string) {
		if value == "" {
			faults = append(faults, name+" is required")
		}
	}
	if !isPath(u.Container) {
		faults = append(faults, "container must be an LDAP path such as LDAP://OU=name,DC=example,DC=com")
	}
	required("userPrincipalName", u.UserPrincipalName)
	required("preferredDomainController", u.PreferredDomainController)
	faults = append(faults, u.MailStore.faults()...)
	for i, p := range u.Properties {
		required(fmt.Sprintf("properties[%d].name", i), p.Name)
		if len(p.Values) == 0 {
			faults = append(faults, fmt.Sprintf("properties[%d].values must not be empty", i))
		}
		if holdsPassword(p.Name) {
			faults = append(faults, fmt.Sprintf("properties[%d] holds a password; use newPassword", i))
		}
	}
	for i, a := range u.ProxyAddresses {
		required(fmt.Sprintf("proxyAddresses[%d]", i), a)
	}
	return append(faults, unwritable(u.texts())...)
}

// faults names what is wrong with a choice of store; nil is right.
func (m *MailStore) faults() (faults []string) {
	if m == nil {
		return nil
	}
	switch {
	case *m == MailStore{}:
		faults = append(faults, "mailStore needs algorithm, or serverName with mailStoreName")
	case (m.ServerName == "") != (m.MailStoreName == ""):
		faults = append(faults, "mailStore.serverName and mailStore.mailStoreName go together")
	}
	if a := m.Algorithm; a != "" && a != "level" && a != "tightPack" {
		faults = append(faults, "mailStore.algorithm must be level or tightPack")
	}
	return faults
}

// unwritable names the texts that XML cannot carry.
func unwritable(texts []field) (faults []string) {
	for _, text := range texts {
		if !isXML(text.value) {
			faults = append(faults, text.name+" holds characters that XML can not carry")
		}
	}
	return faults
}

// field is a text with the name that it has in the request.
type field struct{ name, value string }

// texts returns every text that goes into the request.
func (u BusinessUser) texts() []field {
	texts := []field{
		{"container", u.Container}, {"userPrincipalName", u.UserPrincipalName}, {"preferredDomainController", u.PreferredDomainController},
		{"planName", u.PlanName}, {"newPassword", u.NewPassword.Reveal()}, {"displayName", u.DisplayName}, {"givenName", u.GivenName},
		{"middleName", u.MiddleName}, {"sn", u.SN}, {"initials", u.Initials}, {"description", u.Description}, {"alias", u.Alias},
		{"sAMAccountName", u.SAMAccountName},
	}
	if m := u.MailStore; m != nil {
		texts = append(texts, field{"mailStore.serverName", m.ServerName}, field{"mailStore.mailStoreName", m.MailStoreName})
	}
	for i, p := range u.Properties {
		texts = append(texts, field{fmt.Sprintf("properties[%d]", i), p.Name + strings.Join(p.Values, "")})
	}
	for i, a := range u.ProxyAddresses {
		texts = append(texts, field{fmt.Sprintf("proxyAddresses[%d]", i), a})
	}
	return texts
}

// isXML reports whether XML 1.0 can carry the text. encoding/xml would replace the rest without a
// word, and so change a password.
func isXML(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

// holdsPassword reports whether an attribute's name says that its values are passwords: unicodePwd,
// userPassword, ...
func holdsPassword(attribute string) bool {
	name := strings.ToLower(attribute)
	return name != "pwdlastset" && (strings.Contains(name, "pwd") || strings.Contains(name, "password"))
}

// UserPath returns the LDAP path at which CreateBusinessUser creates a user: CN=<userPrincipalName>
// in the container.
func UserPath(container, userPrincipalName string) string {
	return DNPath(dn.Child("CN", userPrincipalName, PathDN(container)))
}

// DNPath returns the LDAP path of the object of that DN.
func DNPath(name string) string { return scheme + strings.ReplaceAll(name, "/", `\/`) }

// PathDN returns the DN that an LDAP path names, without the scheme, a server, and the escape of
// "/" that such paths need.
func PathDN(path string) string {
	name := path
	if isScheme := len(path) >= len(scheme) && strings.EqualFold(path[:len(scheme)], scheme); isScheme {
		name = path[len(scheme):]
	}
	if server, rest, found := strings.Cut(name, "/"); found && !strings.Contains(server, "=") {
		name = rest
	}
	return strings.ReplaceAll(name, `\/`, "/")
}

// SplitPath takes an LDAP path apart: the server that it names, "" for none, and the DN. ok is
// false where it is no path, or one that could be read in two ways: with a "/" in the DN that no
// backslash escapes.
func SplitPath(path string) (server, name string, ok bool) {
	if !isPath(path) {
		return "", "", false
	}
	name = path[len(scheme):]
	if at := slash(name); at >= 0 {
		server, name = name[:at], name[at+1:]
		if server == "" || strings.Contains(server, "=") || slash(name) >= 0 {
			return "", "", false
		}
	}
	name = strings.ReplaceAll(name, `\/`, "/")
	return server, name, dn.Valid(name)
}

// slash is where the first "/" stands that no backslash escapes; -1 for none.
func slash(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '/':
			return i
		}
	}
	return -1
}

// SamePath reports whether two LDAP paths name the same object; case, spaces, escapes and servers
// do not matter.
func SamePath(a, b string) bool { return dn.Equal(PathDN(a), PathDN(b)) }

const scheme = "LDAP://"

// isPath reports whether s is an LDAP path.
func isPath(s string) bool {
	return len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) && dn.Valid(PathDN(s))
}
