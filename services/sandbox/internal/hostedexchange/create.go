package hostedexchange

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	callfault "github.com/mailwright/mailwright/services/sandbox/internal/fault"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// arguments of CreateBusinessUser (page, "Arguments").
var arguments = []string{
	"container", "userPrincipalName", "preferredDomainController", "isAdmin", "planName", "mailStore", "newPassword",
	"displayName", "givenName", "middleName", "sn", "initials", "description", "properties", "proxyAddresses", "alias", "sAMAccountName",
}

// limits are Active Directory's, in characters.
var limits = map[string]int{"initials": 6, "sn": 64, "givenName": 64, "middleName": 64, "displayName": 256, "description": 1024}

// user is a CreateBusinessUser request, checked as far as it can be without the directory.
type user struct {
	data       *node
	container  string // DN
	upn        string
	plan       string
	algorithm  string
	server     string
	store      string
	admin      bool
	password   *string
	alias      string
	account    string
	properties map[string][]any
	proxies    []string
}

// readUser checks the arguments.
func (a *API) readUser(data *node) (*user, error) {
	u := &user{data: data, properties: map[string][]any{}, algorithm: "tightPack"}
	for _, c := range data.Children {
		if !slices.Contains(arguments, c.Name) && a.world.Switches.Text(switches.HostedUnknownElements) == "reject" {
			return nil, fault(codeBadRequest, "The argument "+c.Name+" is not known.")
		}
		if len(data.all(c.Name)) > 1 {
			return nil, fault(codeBadRequest, "The argument "+c.Name+" is given twice.")
		}
	}
	for _, required := range []string{"container", "userPrincipalName", "preferredDomainController", "isAdmin"} {
		if data.value(required) == "" {
			return nil, fault(codeBadRequest, "The argument "+required+" is required.")
		}
	}
	var err error
	if u.container, err = pathDN(data.value("container")); err != nil {
		return nil, err
	}
	u.upn, u.plan, u.alias, u.account = data.value("userPrincipalName"), data.value("planName"), data.value("alias"), data.value("sAMAccountName")
	prefix, suffix, ok := strings.Cut(u.upn, "@")
	if !ok || prefix == "" || suffix == "" {
		return nil, fault(codeBadRequest, "userPrincipalName must have the form user@domain.")
	}
	switch data.value("isAdmin") {
	case "true", "1":
		u.admin = true
	case "false", "0":
	default:
		return nil, fault(codeBadRequest, "isAdmin must be true or false.")
	}
	if n := data.child("newPassword"); n != nil {
		u.password = &n.Text
	}
	for _, step := range []func() error{u.readStore, u.readTexts, u.readProperties, u.readProxies} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// pathDN takes the DN out of an LDAP path; a server in the path is not allowed.
func pathDN(path string) (string, error) {
	if len(path) < 7 || !strings.EqualFold(path[:7], "LDAP://") {
		return "", fault(codeBadRequest, "The path must begin with LDAP://.")
	}
	dn := strings.ReplaceAll(path[7:], `\/`, "/")
	if _, err := directory.SplitDN(dn); err != nil {
		return "", fault(codeBadRequest, "The path is not a valid LDAP path.")
	}
	return dn, nil
}

// readStore checks mailStore: serverName and mailStoreName go together.
func (u *user) readStore() error {
	n := u.data.child("mailStore")
	if n == nil {
		return nil
	}
	if algorithm, ok := n.attribute("algorithm"); ok {
		if algorithm != "level" && algorithm != "tightPack" {
			return fault(codeBadRequest, "algorithm must be level or tightPack.")
		}
		u.algorithm = algorithm
	}
	for _, c := range n.Children {
		if c.Name != "serverName" && c.Name != "mailStoreName" {
			return fault(codeBadRequest, "mailStore has the unknown element "+c.Name+".")
		}
	}
	u.server, u.store = n.value("serverName"), n.value("mailStoreName")
	if (u.server == "") != (u.store == "") {
		return fault(codeBadRequest, "serverName and mailStoreName must be provided together.")
	}
	return nil
}

func (u *user) readTexts() error {
	for _, name := range []string{"displayName", "givenName", "middleName", "sn", "initials", "description"} {
		text := u.data.value(name)
		if len([]rune(text)) > limits[name] {
			return fault(codeBadRequest, fmt.Sprintf("%s is longer than %d characters.", name, limits[name]))
		}
		if text != "" {
			u.properties[name] = []any{text}
		}
	}
	return nil
}

// readProperties reads <property name="x">v</property> or <property
// name="x"><value>…</value></property>.
func (u *user) readProperties() error {
	block := u.data.child("properties")
	if block == nil {
		return nil
	}
	for _, p := range block.Children {
		name, ok := p.attribute("name")
		if p.Name != "property" || !ok {
			return fault(codeBadRequest, "properties must hold property elements with a name.")
		}
		attribute, known := directory.FindAttribute(name)
		if !known || strings.HasPrefix(attribute.Name, "adm-") {
			return fault(codeNoAttribute, "The attribute "+name+" does not exist.")
		}
		texts := values(p)
		if !attribute.Multi && len(texts) > 1 {
			return fault(codeBadRequest, "The attribute "+name+" has a single value.")
		}
		for _, text := range texts {
			value, err := convert(attribute, text)
			if err != nil {
				return err
			}
			u.properties[attribute.Name] = append(u.properties[attribute.Name], value)
		}
	}
	return nil
}

func values(p *node) []string {
	if len(p.Children) == 0 {
		if text := strings.TrimSpace(p.Text); text != "" {
			return []string{text}
		}
		return nil
	}
	var list []string
	for _, v := range p.all("value") {
		list = append(list, trim(v))
	}
	return list
}

func convert(attribute directory.Attribute, text string) (any, error) {
	switch attribute.Syntax {
	case directory.Boolean:
		b, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return nil, fault(codeBadRequest, "The attribute "+attribute.Name+" is a boolean.")
		}
		return b, nil
	case directory.Integer, directory.LargeInteger:
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fault(codeBadRequest, "The attribute "+attribute.Name+" is an integer.")
		}
		return json.Number(text), nil
	}
	return text, nil
}

func (u *user) readProxies() error {
	for _, v := range u.data.child("proxyAddresses").all("value") {
		address := trim(v)
		if len(address) > 5 && strings.EqualFold(address[:5], "smtp:") {
			address = address[5:]
		}
		if !strings.Contains(address, "@") {
			return fault(codeBadRequest, "A proxy address must be an SMTP address.")
		}
		u.proxies = append(u.proxies, address)
	}
	return nil
}

// createBusinessUser is the procedure; its output is the merged executeData.
func (a *API) createBusinessUser(x *execution) ([]*node, error) {
	u, err := a.readUser(x.data)
	if err != nil {
		return nil, err
	}
	partial := x.run.Twist == callfault.Partial && u.plan != ""
	var output []*node
	err = a.world.Update(x.run.Origin, func(tx *state.Tx) error {
		organization, err := a.checkPlace(tx, u)
		if err != nil {
			return err
		}
		o, err := a.addUser(tx, u)
		if err != nil {
			return err
		}
		var mail *mailResult
		if u.plan != "" && !partial {
			if mail, err = a.addMailbox(tx, u, o, organization); err != nil {
				return err
			}
		}
		tx.Bill("CreateBusinessUser", "LDAP://"+o.DN, u.plan)
		output = a.echo(u, o, organization, mail)
		return nil
	})
	if err == nil && partial {
		// Event 4108: the rollback failed, so the user stays without the mailbox.
		err = &failure{code: codeGeneric, text: "Unspecified error", sources: []string{"CreateMailbox"}, committed: true}
	}
	return output, err
}

// checkPlace finds the organisation that owns the container, and the domain controller.
func (a *API) checkPlace(tx *state.Tx, u *user) (*seed.HostedOrganization, error) {
	hosted := tx.Seed().Hosted
	server := u.data.value("preferredDomainController")
	if !slices.ContainsFunc(hosted.DomainControllers, func(dc string) bool { return strings.EqualFold(dc, server) }) {
		return nil, fault(codeNoServer, "The server is not operational.")
	}
	organization := organizationOf(tx.Seed(), func(container string) bool { return directory.Within(u.container, container) })
	if organization == nil || tx.Object(u.container) == nil {
		return nil, fault(codeNoObject, "There is no such object on the server.")
	}
	return organization, nil
}

func (a *API) addUser(tx *state.Tx, u *user) (*state.Object, error) {
	container := tx.Object(u.container)
	o := &state.Object{Class: "user", Domain: container.Domain, Properties: u.properties}
	o.DN = "CN=" + directory.EscapeValue(u.upn) + "," + container.DN
	if tx.Object(o.DN) != nil || tx.ObjectByUPN(u.upn) != nil {
		return nil, fault(codeExists, "The object already exists.")
	}
	account := accountSeed(u.upn)
	verbatim := false
	if u.account != "" {
		verbatim = tx.Switches().Text(switches.HostedSuppliedSAM) == "verbatim"
		account = accountSeed(u.account)
	}
	if verbatim {
		if account = u.account; tx.ObjectBySAM(o.Domain, account) != nil {
			return nil, fault(codeExists, "The sAMAccountName is not unique.")
		}
	} else if account = a.freeName(tx, o.Domain, account); account == "" {
		return nil, fault(codeExists, "A unique sAMAccountName could not be generated.")
	}
	o.Properties["cn"], o.Properties["userPrincipalName"] = []any{u.upn}, []any{u.upn}
	o.Properties["sAMAccountName"], o.Properties["userAccountControl"] = []any{account}, []any{json.Number("512")}
	if u.password == nil {
		o.Properties["userAccountControl"] = []any{json.Number("546")} // disabled, no password needed
	} else {
		domain := tx.Seed().Domain(o.Domain)
		if err := domain.Password.Check(*u.password, account, o.Text("displayName")); err != nil {
			return nil, fault(codePassword, "The password does not meet the password policy requirements.")
		}
		o.PasswordSet, o.PasswordAt = true, tx.Now()
	}
	return tx.AddObject(o), nil
}

// mailResult is what CreateMailbox adds to the output.
type mailResult struct {
	plan      *seed.Plan
	mailbox   *state.Mailbox
	queryBase string
	domain    string // whose first label names the Exchange organisation
}

// addMailbox is CreateMailbox: plan, space, addresses (page, Note on proxyAddresses).
func (a *API) addMailbox(tx *state.Tx, u *user, o *state.Object, organization *seed.HostedOrganization) (*mailResult, error) {
	plan := planOf(tx.Seed(), u.plan)
	if plan == nil || !slices.Contains(organization.Plans, u.plan) {
		return nil, faultIn("EnsureServicePlanAvailable_", codeBadRequest, "The service plan is not available to the organization.")
	}
	prefix, _, _ := strings.Cut(u.upn, "@")
	primary := prefix + "@" + organization.Domains[0]
	others := slices.DeleteFunc(slices.Clone(u.proxies), func(p string) bool { return strings.EqualFold(p, primary) })
	for _, address := range others {
		_, domain, _ := strings.Cut(address, "@")
		if !slices.ContainsFunc(organization.Domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
			return nil, faultIn("CreateMailbox", codeBadRequest, "A proxy address uses a domain that is not assigned to the organization.")
		}
	}
	store := chooseStore(tx, organization.Name, plan.SizeKB, u.algorithm, u.server, u.store)
	if store == nil {
		return nil, faultIn("CreateMailbox", codeNoSpace, "The organization does not own sufficient storage space.")
	}
	taken := *store
	taken.UsedKB += plan.SizeKB
	tx.PutStore(&taken)
	alias := u.alias
	if alias == "" {
		alias = prefix
	}
	m, err := tx.AddMailbox(state.NewMailbox{
		Object: o, Organization: organization.Name, Alias: alias, Address: primary, Others: others,
		Database: store.Name, Server: store.Server, Plan: plan.Name, QuotaMB: plan.SizeKB / 1024,
	})
	if err != nil {
		return nil, faultIn("CreateMailbox", codeExists, "The mailbox could not be created: "+err.Error()+".")
	}
	tx.PutObject(homed(tx.Object(o.GUID), store, m))
	return &mailResult{plan, m, tx.Object(organization.Container).DN, o.Domain}, nil
}

// homed gives a user the attributes that say where its mailbox is, in the form of Exchange 2003.
func homed(o *state.Object, store *state.Store, m *state.Mailbox) *state.Object {
	organization, _, _ := strings.Cut(o.Domain, ".")
	root := "DC=" + strings.ReplaceAll(o.Domain, ".", ",DC=")
	c := o.Clone()
	c.Properties["homeMDB"] = []any{fmt.Sprintf("CN=%s,CN=First Storage Group,CN=InformationStore,CN=%s,CN=Servers,CN=First Administrative Group,"+
		"CN=Administrative Groups,CN=%s,CN=Microsoft Exchange,CN=Services,CN=Configuration,%s", store.Name, store.Server, organization, root)}
	c.Properties["msExchHomeServerName"] = []any{"/o=" + organization + "/ou=First Administrative Group/cn=Configuration/cn=Servers/cn=" + store.Server}
	c.Properties["msExchMailboxGuid"] = []any{base64.StdEncoding.EncodeToString(directory.BinaryGUID(m.GUID))}
	return c
}

// deleteBusinessUser deletes a user with its mailbox and gives back the space.
func (a *API) deleteBusinessUser(x *execution) ([]*node, error) {
	for _, required := range []string{"path", "preferredDomainController"} {
		if x.data.value(required) == "" {
			return nil, fault(codeBadRequest, "The argument "+required+" is required.")
		}
	}
	dn, err := pathDN(x.data.value("path"))
	if err != nil {
		return nil, err
	}
	err = a.world.Update(x.run.Origin, func(tx *state.Tx) error {
		o := tx.Object(dn)
		organization := organizationOf(tx.Seed(), func(container string) bool { return directory.Within(dn, container) })
		if o == nil || organization == nil || o.Class != "user" {
			return fault(codeNoObject, "There is no such object on the server.")
		}
		if m := tx.MailboxOf(o.GUID); m != nil {
			a.release(tx, organization.Name, m)
			tx.DeleteMailbox(m.GUID)
		}
		tx.DeleteObject(o.GUID)
		tx.Bill("DeleteBusinessUser", "LDAP://"+o.DN, "")
		return nil
	})
	return x.data.Children, err
}

func (a *API) release(tx *state.Tx, organization string, m *state.Mailbox) {
	plan := planOf(tx.Seed(), m.Plan)
	for _, s := range tx.Stores(organization) {
		if plan != nil && s.Server == m.Server && s.Name == m.Database {
			freed := *s
			freed.UsedKB -= plan.SizeKB
			tx.PutStore(&freed)
		}
	}
}
