package adaxes

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// Bits of userAccountControl (page "Setting property values"; 512 is a normal account).
const (
	accountDisabled = 2
	normalAccount   = 512
	mustChange      = -2147483648
)

// builder makes one object out of a create request, within one change of the world.
type builder struct {
	tx        *state.Tx
	q         createRequest
	partial   bool // a fault: the password is not set and no licence assigned
	domain    *seed.Domain
	object    *state.Object
	password  *string
	generated map[string]bool // properties that patterns filled
	messages  []message
}

// build does the whole, in the order in which Adaxes does it.
func (b *builder) build() (*state.Object, error) {
	container := b.tx.Object(b.q.createIn)
	if strings.HasPrefix(strings.ToUpper(b.q.createIn), "S-1-") {
		container = nil // a container is named by DN or GUID only
	}
	if container == nil {
		return nil, refuse(http.StatusNotFound, fmt.Sprintf("The container '%s' does not exist.", b.q.createIn))
	}
	if b.domain = b.tx.Seed().Domain(container.Domain); b.domain == nil {
		return nil, refuse(http.StatusNotFound, "The domain is not managed.")
	}
	b.object = &state.Object{Class: b.q.objectType, Domain: container.Domain, Properties: map[string][]any{}}
	b.generated = map[string]bool{}
	for _, step := range []func() error{b.setProperties, b.fill, func() error { return b.place(container) }, b.checkUnique, b.checkLinks} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	b.setAccount()
	b.object = b.tx.AddObject(b.object)
	if b.q.m365 != nil {
		b.license()
	}
	return b.tx.Object(b.object.GUID), nil
}

func (b *builder) setProperties() error {
	for _, p := range b.q.properties {
		attribute, err := checkProperty(b.tx, p)
		if err != nil {
			return err
		}
		if attribute.Name == "unicodePwd" {
			if len(p.values) == 1 {
				password, _ := p.values[0].(string)
				b.password = &password
			}
			continue
		}
		if len(p.values) > 0 {
			b.object.Properties[attribute.Name] = p.values
		}
	}
	if b.q.photo != "" {
		b.object.Properties["thumbnailPhoto"] = []any{b.q.photo}
	}
	return nil
}

// checkProperty holds a property against the schema.
func checkProperty(tx *state.Tx, p property) (directory.Attribute, error) {
	attribute, ok := directory.FindAttribute(p.name)
	if !ok {
		if tx.Switches().Text(switches.AdaxesUnknownProperties) == "accept" {
			return directory.Attribute{Name: p.name, Syntax: p.syntax, Multi: true}, nil
		}
		return attribute, refuse(http.StatusBadRequest, fmt.Sprintf("The property '%s' does not exist in the schema.", p.name))
	}
	if attribute.Syntax != p.syntax {
		return attribute, refuse(http.StatusBadRequest, fmt.Sprintf("The property '%s' has the type %s, not %s.", p.name, attribute.Syntax, p.syntax))
	}
	if !attribute.Multi && len(p.values) > 1 {
		return attribute, refuse(http.StatusBadRequest, fmt.Sprintf("The property '%s' has a single value.", p.name))
	}
	return attribute, nil
}

// fill completes what the request left out: a user's names by the domain's property patterns,
// the logon names of groups and computers, the suffix of a bare userPrincipalName.
func (b *builder) fill() error {
	properties := b.object.Properties
	switch b.q.objectType {
	case "user":
		return b.fillUser()
	case "contact":
		if properties["cn"] == nil {
			properties["cn"] = []any{strings.TrimSpace(resolve("%givenName% %sn%", b.object.Text))}
		}
	case "group":
		if properties["sAMAccountName"] == nil && !b.domain.Azure {
			properties["sAMAccountName"] = properties["cn"]
		}
		if b.domain.Azure && b.object.Text("groupType") == "1" && b.object.Text("mailNickname") == "" {
			return refuse(http.StatusBadRequest, "A value is required for the property 'mailNickname'.")
		}
	case "computer":
		if properties["sAMAccountName"] == nil && properties["cn"] != nil {
			properties["sAMAccountName"] = []any{b.object.Text("cn") + "$"}
		}
	}
	return nil
}

func (b *builder) fillUser() error {
	properties := b.object.Properties
	if upn := b.object.Text("userPrincipalName"); upn != "" && !b.domain.Azure && properties["sAMAccountName"] == nil {
		prefix, _, _ := strings.Cut(upn, "@")
		properties["sAMAccountName"] = []any{prefix[:min(len(prefix), 20)]}
	}
	for _, pattern := range b.domain.Patterns {
		if len(properties[pattern.Property]) > 0 {
			continue
		}
		text := strings.TrimSpace(resolve(pattern.Template, b.object.Text))
		if text == "" {
			return refuse(http.StatusBadRequest, fmt.Sprintf("A value is required for the property '%s'.", pattern.Property))
		}
		if pattern.Property == "sAMAccountName" {
			text = strings.ReplaceAll(text, " ", "")
			text = text[:min(len(text), 20)]
		}
		properties[pattern.Property] = []any{text}
		b.generated[pattern.Property] = true
	}
	if upn := b.object.Text("userPrincipalName"); !strings.Contains(upn, "@") {
		properties["userPrincipalName"] = []any{upn + "@" + b.domain.Name}
	}
	return nil
}

// place gives the object its DN. In Azure AD the name carries a unique part of its own
// (page, Example 4).
func (b *builder) place(container *state.Object) error {
	naming := "cn"
	if b.q.objectType == "organizationalUnit" {
		naming = "ou"
	}
	name := strings.TrimSpace(b.object.Text(naming))
	if name == "" {
		return refuse(http.StatusBadRequest, fmt.Sprintf("A value is required for the property '%s'.", naming))
	}
	if len([]rune(name)) > 64 {
		return refuse(http.StatusBadRequest, fmt.Sprintf("The value of the property '%s' is longer than 64 characters.", naming))
	}
	rdn := strings.ToUpper(naming) + "=" + directory.EscapeValue(name)
	if b.domain.Azure {
		rdn += `\0AUID:` + strings.ReplaceAll(state.NewGUID(), "-", "")
	}
	b.object.DN = rdn + "," + container.DN
	return nil
}

// checkUnique refuses a second object of the same name: CN within the container, sAMAccountName
// within the domain, userPrincipalName within the forest.
func (b *builder) checkUnique() error {
	uniquify := b.tx.Switches().On(switches.AdaxesUniquify)
	for n := 2; ; n++ {
		clash := b.clash()
		if clash == "" {
			return nil
		}
		if !uniquify || !b.generated[clash] || n > 100 {
			return refuse(http.StatusConflict, map[string]string{
				"cn":                "The object already exists.",
				"sAMAccountName":    "The specified sAMAccountName is already in use in the domain.",
				"userPrincipalName": "The specified userPrincipalName is already in use in the forest.",
				"mailNickname":      "The specified mailNickname is already in use.",
			}[clash])
		}
		b.number(clash, n)
	}
}

func (b *builder) clash() string {
	o := b.object
	switch {
	case b.tx.Object(o.DN) != nil:
		return "cn"
	case o.Text("sAMAccountName") != "" && b.tx.ObjectBySAM(o.Domain, o.Text("sAMAccountName")) != nil:
		return "sAMAccountName"
	case o.Text("userPrincipalName") != "" && b.tx.ObjectByUPN(o.Text("userPrincipalName")) != nil:
		return "userPrincipalName"
	case o.Text("mailNickname") != "" && b.tx.ObjectByNickname(o.Domain, o.Text("mailNickname")) != nil:
		return "mailNickname"
	}
	return ""
}

// number makes a generated name unique by a number at its end.
func (b *builder) number(property string, n int) {
	old := b.object.Text(property)
	local, suffix, _ := strings.Cut(old, "@")
	local = strings.TrimRight(local, "0123456789") + strconv.Itoa(n)
	if suffix != "" {
		local += "@" + suffix
	}
	b.object.Properties[property] = []any{local}
	if property == "cn" {
		b.object.DN = "CN=" + directory.EscapeValue(local) + "," + directory.Parent(b.object.DN)
	}
}

// checkLinks refuses DN values that name nothing.
func (b *builder) checkLinks() error {
	return checkLinks(b.tx, b.q.properties)
}

func checkLinks(tx *state.Tx, properties []property) error {
	if !tx.Switches().On(switches.AdaxesDNValuesExist) {
		return nil
	}
	for _, p := range properties {
		for _, value := range p.values {
			dn, _ := value.(string)
			if p.syntax == directory.DNSyntax && tx.Object(dn) == nil {
				return refuse(http.StatusBadRequest, fmt.Sprintf("The property '%s' names the object '%s', which does not exist.", p.name, dn))
			}
		}
	}
	return nil
}

// setAccount sets password, account options and expiry of a user. A password that the policy
// refuses leaves the account without one and disabled, with two warnings (REST_OperationResult).
func (b *builder) setAccount() {
	o := b.object
	if at := o.Text("accountExpires"); at != "" {
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			o.Properties["accountExpires"] = []any{t.UTC().Format(timeForm)}
		}
	}
	if o.Class != "user" {
		return
	}
	control, _ := json.Number(o.Text("userAccountControl")).Int64()
	given := control
	if control == 0 {
		control = normalAccount
	}
	change := control&mustChange != 0
	control &= 0x7fffffff
	control |= normalAccount
	if b.password != nil {
		b.setPassword(given != 0)
	}
	if !o.PasswordSet {
		control |= accountDisabled
	} else if !change {
		o.PasswordAt = b.tx.Now()
	}
	o.Properties["userAccountControl"] = []any{json.Number(strconv.FormatInt(control, 10))}
	if change {
		o.Properties["pwdLastSet"] = []any{json.Number("0")}
	}
}

// license assigns Microsoft 365 licences after the directory account exists (page, Example 2).
// One that cannot be assigned leaves the user and adds a message.
func (b *builder) license() {
	o := b.object.Clone()
	o.M365 = &state.M365{Location: b.q.m365.location, SignInBlocked: b.q.m365.signInBlocked, Services: map[string][]string{}}
	kind := warning
	if b.tx.Switches().Text(switches.AdaxesLicenceFailure) == "error" {
		kind = errorMessage
	}
	for _, change := range b.q.m365.licences {
		licence := b.tx.Seed().Licence(change.sku)
		switch {
		case licence == nil, b.partial:
			b.messages = append(b.messages, note(kind, fmt.Sprintf("Failed to assign the license '%s'.", change.sku)))
		case licence.Total == 0 && change.assigned:
			b.messages = append(b.messages, note(kind, fmt.Sprintf("Failed to assign the license '%s'. There are no licenses left.", change.sku)))
		case change.assigned:
			b.assign(o.M365, licence, change, kind)
		default:
			o.M365.Licences = slices.DeleteFunc(o.M365.Licences, func(sku string) bool { return sku == change.sku })
			delete(o.M365.Services, change.sku)
		}
	}
	if len(o.M365.Licences) == 0 {
		return
	}
	b.tx.PutObject(o)
	b.messages = append(b.messages, note(information,
		"A temporary password has been assigned to the user's Microsoft 365 account. The temporary password is "+temporaryPassword()+"."))
	if slices.ContainsFunc(o.M365.Licences, func(sku string) bool { return makesMailbox(b.tx.Seed().Licence(sku), o.M365.Services[sku]) }) {
		b.cloudMailbox(o, kind)
	}
}

// assign gives the account a licence, or changes its service plans: of a new one all but the
// disabled, or the enabled alone; of one that it has, those that the change names, enabledServices
// before disabledServices (page, Microsoft 365 account properties).
func (b *builder) assign(account *state.M365, licence *seed.Licence, change licenceChange, kind int) {
	for _, service := range slices.Concat(change.enabled, change.disabled) {
		if !slices.Contains(licence.Plans, service) {
			b.messages = append(b.messages, note(kind, fmt.Sprintf("The license '%s' has no service '%s'.", change.sku, service)))
		}
	}
	had := slices.Contains(account.Licences, change.sku)
	if !had {
		account.Licences = append(account.Licences, change.sku)
	}
	var services []string
	for _, service := range licence.Plans {
		on := len(change.enabled) == 0
		if had {
			on = slices.Contains(account.Services[change.sku], service)
		}
		switch {
		case slices.Contains(change.enabled, service):
			on = true
		case slices.Contains(change.disabled, service):
			on = false
		}
		if on {
			services = append(services, service)
		}
	}
	account.Services[change.sku] = services
}

// makesMailbox: a licence makes a mailbox unless its Exchange service is disabled (inferred).
func makesMailbox(licence *seed.Licence, services []string) bool {
	return licence.Mailbox && (len(licence.Plans) == 0 || slices.ContainsFunc(services, func(s string) bool { return strings.HasPrefix(s, "EXCHANGE_") }))
}

func (b *builder) cloudMailbox(o *state.Object, kind int) {
	alias := o.Text("mailNickname")
	if alias == "" {
		alias, _, _ = strings.Cut(o.Text("userPrincipalName"), "@")
	}
	_, err := b.tx.AddMailbox(state.NewMailbox{
		Object: o, Organization: b.domain.Organization, Alias: legalAlias(alias), Address: o.Text("userPrincipalName"),
		Database: state.CloudDatabase, QuotaMB: 102400,
	})
	if err != nil {
		b.messages = append(b.messages, note(kind, "The mailbox could not be created: "+err.Error()+"."))
	}
}

// temporaryPassword looks like the sample's Rg8^6H#c.
func temporaryPassword() string {
	const signs = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789^#!%*"
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	for i := range b {
		b[i] = signs[int(b[i])%len(signs)]
	}
	return string(b[:])
}

// setPassword sets the password of a user whose account options are given or not.
func (b *builder) setPassword(optionsGiven bool) {
	err := b.domain.Password.Check(*b.password, b.object.Text("sAMAccountName"), b.object.Text("displayName"))
	if b.partial {
		err = fmt.Errorf("the domain controller did not respond")
	}
	b.object.PasswordSet = err == nil
	if err == nil {
		return
	}
	lost := "The account is disabled, because the password is not set."
	if optionsGiven {
		lost = "Failed to set the account options, because the password is not set."
	}
	b.messages = append(b.messages,
		note(warning, "Failed to set the password. The password does not meet the password policy requirements: "+err.Error()+"."),
		note(warning, lost))
}
