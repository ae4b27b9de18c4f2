package tenant

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
)

// CheckObject names everything about a directory object that the tenant's commands may not ask for;
// nil: nothing.
func (t *Tenant) CheckObject(d event.ObjectCreateData) (faults []event.Fault) {
	faults = append(faults, t.createIn(d.CreateIn)...)
	if types := t.Policy.ObjectTypes; types != nil && !slices.Contains(types, d.ObjectType) {
		faults = append(faults, event.Fault{Field: "/objectType", Problem: "is none of the tenant's policy.objectTypes"})
	}
	var marker string
	if t.Adaxes != nil {
		marker = t.Adaxes.MarkerAttribute
	}
	properties := make([]property, len(d.Properties))
	for i, p := range d.Properties {
		properties[i] = property{fmt.Sprintf("/properties/%d/propertyName", i), fmt.Sprintf("/properties/%d/values", i), p.Name, p.Values}
	}
	return append(faults, t.Policy.properties(properties, marker)...)
}

// CheckBusinessUser names everything about a business user that the tenant's commands may not ask
// for; nil: nothing.
func (t *Tenant) CheckBusinessUser(d event.BusinessUserCreateData) (faults []event.Fault) {
	refuse := func(field, problem string) {
		if problem != "" {
			faults = append(faults, event.Fault{Field: field, Problem: problem})
		}
	}
	refuse("/container", t.hostedContainer(d.Container))
	refuse("/preferredDomainController", t.domainController(d.PreferredDomainController))
	if d.IsAdmin && !t.Policy.AllowAdmin {
		refuse("/isAdmin", "must be false; the tenant's policy.allowAdmin allows administrators")
	}
	properties := make([]property, len(d.Properties))
	for i, p := range d.Properties {
		values := make([]json.RawMessage, len(p.Values))
		for j, text := range p.Values {
			values[j], _ = json.Marshal(text) // a text marshals
		}
		properties[i] = property{fmt.Sprintf("/properties/%d/name", i), fmt.Sprintf("/properties/%d/values", i), p.Name, values}
	}
	return append(faults, t.Policy.properties(properties, "")...)
}

// CheckSync names what about an inventory the tenant's commands may not ask for; nil: nothing.
func (t *Tenant) CheckSync(d event.InventorySyncData) []event.Fault {
	allowed := t.Policy.EnPower.Tenants
	var problem string
	switch {
	case slices.Contains(allowed, AnyTenant):
		return nil
	case allowed == nil && d.Tenant != "":
		problem = "must be left out: the tenant's policy.enpower.tenants lists none"
	case allowed != nil && d.Tenant == "":
		problem = "is missing; name one of the tenant's policy.enpower.tenants"
	case allowed != nil && !containsFold(allowed, d.Tenant):
		problem = "is none of the tenant's policy.enpower.tenants"
	default:
		return nil
	}
	return []event.Fault{{Field: "/tenant", Problem: problem}}
}

// createIn names what is wrong with the place of a directory object.
func (t *Tenant) createIn(place string) []event.Fault {
	allowed := t.Policy.Containers
	var problem string
	switch {
	case !guid.MatchString(place) && !dn.Valid(place):
		problem = "must be a DN or a GUID"
	case allowed == nil || guid.MatchString(place) && containsFold(allowed, place) || within(place, allowed):
		return nil
	case guid.MatchString(place):
		problem = "is a GUID that the tenant's policy.containers does not list; name the container by its DN"
	default:
		problem = outside
	}
	return []event.Fault{{Field: "/createIn", Problem: problem}}
}

const outside = "is neither one of the tenant's policy.containers nor below one"

// hostedContainer says what is wrong with the LDAP path of a container; "" for nothing.
func (t *Tenant) hostedContainer(path string) string {
	server, name, ok := hostedexchange.SplitPath(path)
	base := ""
	if h := t.HostedExchange; h != nil && h.LDAP != nil {
		base = h.LDAP.BaseDN
	}
	switch allowed := t.Policy.Containers; {
	case !ok:
		return `must be an LDAP path such as LDAP://OU=name,DC=example,DC=com, with "/" in a name written as "\/"`
	case server != "" && !containsFold(t.Policy.DomainControllers, server):
		return "names a server, which must be left out: it is none of the tenant's policy.domainControllers"
	case allowed != nil && !within(name, allowed):
		return outside
	case allowed == nil && base != "" && !dn.Within(name, base):
		return "is not below the tenant's hostedExchange.ldap.baseDN"
	}
	return ""
}

// domainController says why a command may not name a domain controller; "" if it may. The
// provisioning system signs in there, so a foreign server would get its credentials.
func (t *Tenant) domainController(host string) string {
	if allowed := t.Policy.DomainControllers; allowed != nil {
		if containsFold(allowed, host) {
			return ""
		}
		return "is none of the tenant's policy.domainControllers"
	}
	for _, domain := range t.domains() {
		if label, found := strings.CutSuffix(strings.ToLower(host), "."+domain); found && hostAndPort.MatchString(label) && !strings.Contains(label, ":") {
			return ""
		}
	}
	return "must be the full name of a host in the domain of the tenant's policy.containers or hostedExchange.ldap.baseDN, or be listed in policy.domainControllers"
}

// domains are the DNS names, in lower case, of the domains that the tenant's configuration names.
func (t *Tenant) domains() (domains []string) {
	names := slices.Clone(t.Policy.Containers)
	if h := t.HostedExchange; h != nil && h.LDAP != nil {
		names = append(names, h.LDAP.BaseDN)
	}
	for _, name := range names {
		var labels []string
		for part := range strings.SplitSeq(dn.Domain(name), ",") {
			labels = append(labels, strings.ToLower(dn.FirstValue(part)))
		}
		if domain := strings.Join(labels, "."); domain != "" {
			domains = append(domains, domain)
		}
	}
	return domains
}

// property is one that a command sets: its name and values, and where in the data they stand.
type property struct {
	nameAt, valuesAt string
	name             string
	values           []json.RawMessage
}

// properties names what may not be set. marker is the property that carries the operation's id; ""
// for none.
func (p Policy) properties(list []property, marker string) (faults []event.Fault) {
	before := map[string]bool{}
	for _, property := range list {
		name := strings.ToLower(property.name)
		problem := p.Properties.problem(property.name)
		switch {
		case marker != "" && strings.EqualFold(name, marker):
			problem = "is set aside for the operation's id by the tenant's adaxes.markerAttribute; leave it out"
		case before[name]:
			problem = "names a property a second time; give all its values in one place"
		}
		before[name] = true
		if problem != "" {
			faults = append(faults, event.Fault{Field: property.nameAt, Problem: problem})
			continue
		}
		if name == accountControl && !containsFold(p.Properties.Allow, name) {
			faults = append(faults, accountControlFaults(property)...)
		}
	}
	return faults
}

// problem says why a property may not be set, by its name; "" where it may.
func (p Properties) problem(name string) string {
	if containsFold(p.Allow, name) {
		return ""
	}
	if containsFold(p.Deny, name) {
		return "is denied by the tenant's policy.properties.deny"
	}
	return refusedByDefault(name)
}

func within(name string, containers []string) bool {
	return slices.ContainsFunc(containers, func(c string) bool { return dn.Within(name, c) })
}

func containsFold(list []string, text string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, text) })
}
