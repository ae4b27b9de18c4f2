package tenant

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/services/internal/vendors/dn"
)

// Policy bounds what the commands of a tenant may ask for. A command that it refuses is rejected
// before any vendor is called. The zero value is the default: it refuses properties that give power
// over other accounts and machines. docs/vendors.md has the table.
type Policy struct {
	// Containers are where objects may be created: a DN allows itself and all below it, a GUID
	// itself alone. nil: anywhere.
	Containers []string `yaml:"containers"`
	// ObjectTypes are those that directory.object.create may create. nil: all.
	ObjectTypes []string   `yaml:"objectTypes"`
	Properties  Properties `yaml:"properties"`
	// DomainControllers are the servers that commands may name. nil: as preferredDomainController
	// every host of a domain that the tenant's configuration names, and none in a path.
	DomainControllers []string `yaml:"domainControllers"`
	// AllowAdmin lets a business user be created as an administrator of the organisation.
	AllowAdmin bool          `yaml:"allowAdmin"`
	EnPower    EnPowerPolicy `yaml:"enpower"`
}

// Properties changes which properties a command may set on a new object. Names are compared without
// regard to case.
type Properties struct {
	// Allow names properties that are refused by default and that this tenant's commands may set.
	Allow []string `yaml:"allow"`
	// Deny names further properties that they may not set.
	Deny []string `yaml:"deny"`
}

// EnPowerPolicy bounds inventory.sync.
type EnPowerPolicy struct {
	// Tenants are the tenants that inventory.sync may name. If there are any, it must name one of
	// them. [AnyTenant] among them allows every name, and none. nil: it may name none.
	Tenants []string `yaml:"tenants"`
}

// AnyTenant allows inventory.sync every tenant that the credentials reach, and all of them at once.
const AnyTenant = "*"

// KeysStrict is the value of [Tenant.Keys] that rejects a command whose key is not the recommended
// one.
const KeysStrict = "strict"

// PlainSecretsAllowed is the value of [Tenant.PlainSecrets] that takes secrets that are not sealed.
const PlainSecretsAllowed = "allowed"

// objectTypes are those that the schema of directory.object.create knows.
var objectTypes = []string{"organizationalUnit", "container", "user", "contact", "group", "computer", "printQueue", "volume"}

var (
	// tenantName is a tenant's name, which is a token of NATS subjects.
	tenantName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	// schemaName is the form of a property's name in a directory's schema (RFC 4512 section 1.4).
	schemaName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)
	// hostAndPort is a server as LDAP paths name it.
	hostAndPort = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	guid        = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// flaw is what is wrong with a member of a tenant's configuration. Its error quotes no value.
type flaw struct {
	path []string
	err  error
}

// settings is a list of texts of a tenant's configuration, and what is wrong with one of them: ""
// for nothing.
type settings struct {
	path  []string
	texts []string
	fault func(text string) string
}

// flaws names what is wrong with a tenant beside its vendors. n is the tenant in the file; nil
// where there is none.
func (t *Tenant) flaws(n *yaml.Node) (flaws []flaw) {
	p := t.Policy
	for _, s := range []settings{
		{[]string{"operators"}, t.Operators, sourceFault},
		{[]string{"policy", "containers"}, p.Containers, containerFault},
		{[]string{"policy", "objectTypes"}, p.ObjectTypes, objectTypeFault},
		{[]string{"policy", "properties", "allow"}, p.Properties.Allow, allowFault(p.Properties.Deny)},
		{[]string{"policy", "properties", "deny"}, p.Properties.Deny, propertyFault},
		{[]string{"policy", "domainControllers"}, p.DomainControllers, hostFault},
		{[]string{"policy", "enpower", "tenants"}, p.EnPower.Tenants, enpowerTenantFault},
	} {
		flaws = append(flaws, s.flaws(n)...)
	}
	if t.Keys != "" && t.Keys != KeysStrict {
		flaws = append(flaws, flaw{[]string{"keys"}, errors.New("must be strict, or be left out")})
	}
	if t.PlainSecrets != "" && t.PlainSecrets != PlainSecretsAllowed {
		flaws = append(flaws, flaw{[]string{"plainSecrets"}, errors.New("must be allowed, or be left out")})
	}
	return flaws
}

func (s settings) flaws(n *yaml.Node) (flaws []flaw) {
	// An empty list must not count as an absent one, which would allow everything.
	if len(s.texts) == 0 && stands(n, s.path) {
		return []flaw{{s.path, errors.New("is empty; name at least one, or leave it out for the default")}}
	}
	for i, text := range s.texts {
		fault := s.fault(text)
		if fault == "" && slices.ContainsFunc(s.texts[:i], func(before string) bool { return strings.EqualFold(before, text) }) {
			fault = "stands here twice"
		}
		if fault != "" {
			flaws = append(flaws, flaw{append(slices.Clone(s.path), strconv.Itoa(i)), errors.New(fault)})
		}
	}
	return flaws
}

// stands reports whether the file has a member of that path. An empty one counts.
func stands(n *yaml.Node, path []string) bool {
	for _, name := range path {
		if n == nil {
			return false
		}
		_, n = member(n, name)
	}
	return n != nil
}

func sourceFault(text string) string {
	if u, err := url.Parse(text); err != nil || u.String() == "" || strings.ContainsFunc(text, isSpace) {
		return "must be a CloudEvents source, a URI reference such as https://itsm.example.com or /operators/ann"
	}
	return ""
}

func isSpace(r rune) bool { return r <= ' ' }

func containerFault(text string) string {
	if !guid.MatchString(text) && !dn.Within(text, text) {
		return "must be a DN such as OU=Staff,DC=example,DC=com, or a GUID"
	}
	return ""
}

func objectTypeFault(text string) string {
	if !slices.Contains(objectTypes, text) {
		return "must be one of " + strings.Join(objectTypes, ", ")
	}
	return ""
}

func propertyFault(text string) string {
	if text == "" {
		return "must be the name of a property"
	}
	return ""
}

// allowFault refuses to allow a property that the policy denies as well.
func allowFault(deny []string) func(string) string {
	return func(text string) string {
		if slices.ContainsFunc(deny, func(denied string) bool { return strings.EqualFold(denied, text) }) {
			return "stands in deny too; name it in one of them"
		}
		return propertyFault(text)
	}
}

func hostFault(text string) string {
	if !hostAndPort.MatchString(text) {
		return "must be a host name such as dc1.example.com"
	}
	return ""
}

func enpowerTenantFault(text string) string {
	if strings.TrimSpace(text) == "" {
		return "must be a tenant as EnPower names it"
	}
	return ""
}

// Operators are, by tenant, the sources that may cancel every operation of the tenant.
func (ts Tenants) Operators() map[string][]string {
	out := map[string][]string{}
	for name, t := range ts {
		out[name] = t.Operators
	}
	return out
}

// StrictKeys names the tenants that reject a command whose key is not the recommended one.
func (ts Tenants) StrictKeys() map[string]bool {
	out := map[string]bool{}
	for name, t := range ts {
		out[name] = t.Keys == KeysStrict
	}
	return out
}
