package tenant_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/tenant"
)

const (
	staffUnit = "OU=Staff,DC=example,DC=com"
	staffGUID = "0b4d238a-62fc-4088-0ff3-4ae2b108eed4"
)

// fields gives where the faults are.
func fields(faults []event.Fault) (list []string) {
	for _, f := range faults {
		list = append(list, f.Field)
	}
	slices.Sort(list)
	return list
}

func wantFields(t *testing.T, faults []event.Fault, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, fields(faults)); d != "" {
		t.Errorf("%+v: %s", faults, d)
	}
}

// object is an object of class user with properties, given as name and JSON of the values.
func object(in string, properties ...[2]string) event.ObjectCreateData {
	d := event.ObjectCreateData{CreateIn: in, ObjectType: "user"}
	for _, p := range properties {
		var values []json.RawMessage
		_ = json.Unmarshal([]byte(p[1]), &values)
		d.Properties = append(d.Properties, event.Property{Name: p[0], Type: json.RawMessage(`"String"`), Values: values})
	}
	return d
}

func TestContainers(t *testing.T) {
	t.Parallel()
	bounded := tenant.Tenant{Policy: tenant.Policy{Containers: []string{staffUnit, staffGUID}}}
	for place, want := range map[string]struct{ anywhere, bounded bool }{
		staffUnit:                              {true, true},
		"ou=sales, ou=staff,dc=Example,dc=com": {true, true},
		strings.ToUpper(staffGUID):             {true, true},
		"7a4267ce-d354-44e7-8bd6-c681f1284a41": {true, false},
		"DC=example,DC=com":                    {true, false},
		"OU=OtherStaff,DC=example,DC=com":      {true, false},
		`OU=x\,OU=Staff,DC=example,DC=com`:     {true, false},
		"CN=Users;OU=Staff,DC=example,DC=com":  {true, false},
		staffUnit + ",DC=evil":                 {true, false},
		"LDAP://dc1.evil.example/" + staffUnit: {false, false},
		"Adaxes://" + staffUnit:                {false, false},
		"<GUID=" + staffGUID + ">":             {false, false},
		"wkobj:BusinessUnitsContainer":         {false, false},
		"":                                     {false, false},
	} {
		for unit, allowed := range map[*tenant.Tenant]bool{{}: want.anywhere, &bounded: want.bounded} {
			if faults := unit.CheckObject(object(place)); (len(faults) == 0) != allowed || !allowed && faults[0].Field != "/createIn" {
				t.Errorf("%q: %+v, allowed %v", place, faults, allowed)
			}
		}
	}
}

func TestObjectTypes(t *testing.T) {
	t.Parallel()
	wantFields(t, (&tenant.Tenant{}).CheckObject(object(staffUnit)))
	wantFields(t, (&tenant.Tenant{Policy: tenant.Policy{ObjectTypes: []string{"group"}}}).CheckObject(object(staffUnit)), "/objectType")
	wantFields(t, (&tenant.Tenant{Policy: tenant.Policy{ObjectTypes: []string{"group", "user"}}}).CheckObject(object(staffUnit)))
}

func TestProperties(t *testing.T) {
	t.Parallel()
	byDefault := &tenant.Tenant{Adaxes: &tenant.Adaxes{MarkerAttribute: "extensionAttribute15"}}
	changed := &tenant.Tenant{Policy: tenant.Policy{Properties: tenant.Properties{Allow: []string{"SERVICEPRINCIPALNAME", "adm-Other", "extensionAttribute15", "odd name"}, Deny: []string{"employeeID"}}},
		Adaxes: byDefault.Adaxes}
	for name, want := range map[string]struct{ byDefault, changed bool }{
		"cn": {true, true}, "employeeId": {true, false}, "member": {true, true}, "managedBy": {true, true}, "unicodePwd": {true, true},
		"memberOf": {false, false}, "MEMBEROF": {false, false}, "servicePrincipalName": {false, true}, "sidhistory": {false, false},
		"adm-CustomAttributeText1": {true, true}, "adm-ProtectedFromDeletion": {true, true}, "adm-Other": {false, true}, "ADM-another": {false, false},
		"extensionAttribute15": {false, false}, "EXTENSIONATTRIBUTE15": {false, false}, "extensionAttribute1": {true, true},
		"1.2.840.113556.1.2.102": {false, false}, " memberOf": {false, false}, "memberOf;range=0-1": {false, false}, "memberOf\u200b": {false, false}, "odd name": {false, true}, "": {false, false},
	} {
		for unit, allowed := range map[*tenant.Tenant]bool{byDefault: want.byDefault, changed: want.changed} {
			if faults := unit.CheckObject(object(staffUnit, [2]string{name, `["x"]`})); (len(faults) == 0) != allowed || !allowed && faults[0].Field != "/properties/0/propertyName" {
				t.Errorf("%q: %+v, allowed %v", name, faults, allowed)
			}
		}
	}
	marker := byDefault.CheckObject(object(staffUnit, [2]string{"cn", `["x"]`}, [2]string{"ExtensionAttribute15", `["x"]`}))
	if len(marker) != 1 || !strings.Contains(marker[0].Problem, "markerAttribute") {
		t.Errorf("%+v", marker)
	}
	wantFields(t, byDefault.CheckObject(object(staffUnit, [2]string{"cn", `["x"]`}, [2]string{"description", `["x"]`}, [2]string{"CN", `["y"]`})), "/properties/2/propertyName")
}

func TestBitsOfUserAccountControl(t *testing.T) {
	t.Parallel()
	for values, want := range map[string][]string{
		`[512]`: nil, `[512.0]`: nil, `[5.12e2]`: nil, `["512"]`: nil, `[-2147483136]`: nil, `[66048]`: nil, `[4128]`: nil, `[]`: nil,
		`[524800]`: {"/properties/0/values/0"}, `["524800"]`: {"/properties/0/values/0"}, `[512,16777728]`: {"/properties/0/values/1"}, `[5.248e5]`: {"/properties/0/values/0"},
		`[8192]`: {"/properties/0/values/0"}, `[2048]`: {"/properties/0/values/0"}, `[67108864]`: {"/properties/0/values/0"}, `[4194816]`: {"/properties/0/values/0"}, `[-1]`: {"/properties/0/values/0"},
		// What cannot be told to set none of them.
		`["0x80200"]`: {"/properties/0/values/0"}, `["512 "]`: {"/properties/0/values/0"}, `[4295491584]`: {"/properties/0/values/0"}, `[true]`: {"/properties/0/values/0"}, `["%x%"]`: {"/properties/0/values/0"},
	} {
		wantFields(t, (&tenant.Tenant{}).CheckObject(object(staffUnit, [2]string{"UserAccountControl", values})), want...)
		allowed := tenant.Tenant{Policy: tenant.Policy{Properties: tenant.Properties{Allow: []string{"userAccountControl"}}}}
		wantFields(t, allowed.CheckObject(object(staffUnit, [2]string{"userAccountControl", values})))
	}
}

func TestBusinessUsers(t *testing.T) {
	t.Parallel()
	hosted := func(p tenant.Policy, base string) *tenant.Tenant {
		h := &tenant.HostedExchange{}
		if base != "" {
			h.LDAP = &tenant.LDAP{BaseDN: base}
		}
		return &tenant.Tenant{Policy: p, HostedExchange: h}
	}
	domain, bounded := hosted(tenant.Policy{}, "DC=fabrikam,DC=com"), hosted(tenant.Policy{Containers: []string{"OU=Hosting,DC=fabrikam,DC=com"}}, "")
	listed, nothing := hosted(tenant.Policy{DomainControllers: []string{"AD01.fabrikam.com", "10.0.0.5"}, AllowAdmin: true}, ""), hosted(tenant.Policy{}, "")
	const container, controller = "/container", "/preferredDomainController"
	for name, c := range map[string]struct {
		unit            *tenant.Tenant
		container, host string
		want            []string
	}{
		"in the domain":            {domain, "LDAP://OU=Hosting,DC=fabrikam,DC=com", "ad01.FABRIKAM.com", nil},
		"in a domain below":        {domain, "LDAP://OU=a,DC=west,DC=fabrikam,DC=com", "dc.west.fabrikam.com", nil},
		"elsewhere":                {domain, "LDAP://OU=a,DC=fabrikam,DC=com", "dc.evil.example", []string{controller}},
		"only ends alike":          {domain, "LDAP://OU=a,DC=fabrikam,DC=com", "evilfabrikam.com", []string{controller}},
		"the domain itself":        {domain, "LDAP://OU=a,DC=fabrikam,DC=com", "fabrikam.com", []string{controller}},
		"no full name":             {domain, "LDAP://OU=a,DC=fabrikam,DC=com", "AD01", []string{controller}},
		"an address":               {domain, "LDAP://OU=a,DC=fabrikam,DC=com", "10.0.0.5", []string{controller}},
		"a port":                   {domain, "LDAP://OU=a,DC=fabrikam,DC=com", "dc:80.fabrikam.com", []string{controller}},
		"a path":                   {domain, "LDAP://OU=a,DC=fabrikam,DC=com", `evil\x.fabrikam.com`, []string{controller}},
		"the command's own domain": {domain, "LDAP://OU=a,DC=evil,DC=example", "dc.evil.example", []string{container, controller}},
		"a server in the path":     {domain, "LDAP://ad01.fabrikam.com/OU=a,DC=fabrikam,DC=com", "ad01.fabrikam.com", []string{container}},
		"below a container":        {bounded, "LDAP://OU=a,OU=Hosting,DC=fabrikam,DC=com", "ad01.fabrikam.com", nil},
		"outside the containers":   {bounded, "LDAP://OU=a,DC=fabrikam,DC=com", "ad01.fabrikam.com", []string{container}},
		"listed":                   {listed, "LDAP://OU=a,DC=fabrikam,DC=com", "ad01.fabrikam.com", nil},
		"listed, by its address":   {listed, "LDAP://10.0.0.5/OU=a,DC=fabrikam,DC=com", "10.0.0.5", nil},
		"not listed":               {listed, "LDAP://OU=a,DC=fabrikam,DC=com", "ad02.fabrikam.com", []string{controller}},
		"another server in a path": {listed, "LDAP://ad02.fabrikam.com/OU=a,DC=fabrikam,DC=com", "AD01.fabrikam.com", []string{container}},
		"a server within a server": {listed, "LDAP://AD01.fabrikam.com/evil/OU=a,DC=fabrikam,DC=com", "AD01.fabrikam.com", []string{container}},
		"no domain is known":       {nothing, "LDAP://OU=a,DC=fabrikam,DC=com", "ad01.fabrikam.com", []string{controller}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFields(t, c.unit.CheckBusinessUser(event.BusinessUserCreateData{Container: c.container, PreferredDomainController: c.host}), c.want...)
		})
	}
	admin := event.BusinessUserCreateData{Container: "LDAP://OU=a,DC=fabrikam,DC=com", PreferredDomainController: "AD01.fabrikam.com", IsAdmin: true}
	wantFields(t, listed.CheckBusinessUser(admin))
	wantFields(t, domain.CheckBusinessUser(admin), "/isAdmin")
	admin.Properties = []event.DirectoryProperty{{Name: "street", Values: []string{"x"}}, {Name: "memberof", Values: []string{"CN=Domain Admins"}}, {Name: "userAccountControl", Values: []string{"512", "524800"}}, {Name: "STREET"}}
	// All at once.
	admin.Container, admin.PreferredDomainController = "LDAP://x/OU=a,DC=b", "x"
	wantFields(t, domain.CheckBusinessUser(admin), container, "/isAdmin", controller, "/properties/1/name", "/properties/2/values/1", "/properties/3/name")
}

func TestTenantsOfEnPower(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allowed []string
		tenant  string
		ok      bool
	}{
		"none": {nil, "", true}, "one by default": {nil, "contoso.com", false}, "listed": {[]string{"Contoso.com"}, "contoso.com", true}, "not listed": {[]string{"contoso.com"}, "fabrikam.com", false},
		"all of a list": {[]string{"contoso.com"}, "", false}, "any": {[]string{tenant.AnyTenant}, "contoso.com", true}, "all": {[]string{tenant.AnyTenant}, "", true},
	} {
		unit := tenant.Tenant{Policy: tenant.Policy{EnPower: tenant.EnPowerPolicy{Tenants: c.allowed}}}
		if faults := unit.CheckSync(event.InventorySyncData{Tenant: c.tenant}); (len(faults) == 0) != c.ok || !c.ok && faults[0].Field != "/tenant" {
			t.Errorf("%s: %+v", name, faults)
		}
	}
}
