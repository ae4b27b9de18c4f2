package directory_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
)

// objectWith is the command to create a user of an account name, with one property more.
func objectWith(account, property string) string {
	return `{"createIn":"` + unit + `","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":["` + account + `"]},
		{"propertyName":"sAMAccountName","propertyType":"String","values":["` + account + `"]},` + property + `]}`
}

// calls counts the calls that reached a vendor.
func (b *env) calls() int {
	b.Helper()
	var page struct{ Entries []json.RawMessage }
	if err := b.sandbox.Do(b.Context(), http.MethodGet, "journal", nil, &page); err != nil {
		b.Fatal(err)
	}
	return len(page.Entries)
}

// stored gives the objects at the vendor that a text matches, as the control API shows them.
func (b *env) stored(match string) string {
	b.Helper()
	var page struct{ Objects json.RawMessage }
	if err := b.sandbox.Do(b.Context(), http.MethodGet, "objects?kind=objects&match="+url.QueryEscape(match), nil, &page); err != nil {
		b.Fatal(err)
	}
	return string(page.Objects)
}

// rejected gives where the faults of a rejection are, in their order.
func rejected(t *testing.T, err error) (fields []string) {
	t.Helper()
	r, ok := errors.AsType[*operation.Rejection](err)
	if !ok {
		t.Fatalf("got %v, want a rejection", err)
	}
	for _, f := range r.Faults {
		fields = append(fields, f.Field)
	}
	return fields
}

// wantRejected wants a command to be rejected for these fields by each of the handler's functions,
// and no call at a vendor.
func (b *env) wantRejected(eventType, data string, want ...string) {
	b.Helper()
	handler := b.handlers[eventType]
	run := b.run(eventType, data, time.Now())
	_, performed := handler.Perform(b.Context(), run)
	_, _, lookedUp := handler.LookUp(b.Context(), run)
	_, planned := handler.Plan(b.Context(), run)
	for what, err := range map[string]error{"perform": performed, "look up": lookedUp, "plan": planned} {
		if d := cmp.Diff(want, rejected(b.T, err)); d != "" {
			b.Errorf("%s: %v: %s", what, err, d)
		}
	}
	if n := b.calls(); n != 0 {
		b.Errorf("%d calls reached a vendor", n)
	}
}

// TestIntegersArriveAsTheyWereWritten: every form of a number that the schema takes is that number
// at the vendor.
func TestIntegersArriveAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	const disabled = "66050" // the vendor disables an account without a password
	for account, c := range map[string]struct{ property, want, stored string }{
		"floata": {`{"propertyName":"userAccountControl","propertyType":"Integer","values":[66048.0]}`, "66048", disabled},
		"floatb": {`{"propertyName":"userAccountControl","propertyType":"Integer","values":[6.6048e4]}`, "66048", disabled},
		"floatc": {`{"propertyName":"userAccountControl","propertyType":7.0,"values":[66048]}`, "66048", disabled},
		"floate": {`{"propertyName":"lockoutTime","propertyType":"LargeInteger","values":[1.33e17]}`, "133000000000000000", "133000000000000000"},
		"floatf": {`{"propertyName":"lockoutTime","propertyType":1e1,"values":[9223372036854775807]}`, "9223372036854775807", "9223372036854775807"},
		"floatg": {`{"propertyName":"lockoutTime","propertyType":"LargeInteger","values":["9007199254740993"]}`, "9007199254740993", "9007199254740993"},
	} {
		run := b.run(event.TypeObjectCreate, objectWith(account, c.property), time.Now())
		if faults := event.Check(run.Command); faults != nil {
			t.Errorf("%s: %+v", account, faults)
		}
		if _, err := b.perform(run); err != nil || !strings.Contains(b.stored(account), "["+c.stored+"]") {
			t.Errorf("%s: %v; stored %s, want %s", account, err, b.stored(account), c.stored)
		}
		plan, err := b.handlers[event.TypeObjectCreate].Plan(t.Context(), b.run(event.TypeObjectCreate, objectWith("new"+account, c.property), time.Now()))
		if err != nil || !slices.ContainsFunc(plan.Changes, func(change event.Change) bool { return change.Value == "["+c.want+"]" }) {
			t.Errorf("%s: the plan says %+v, %v", account, plan.Changes, err)
		}
	}
}

func TestIntegersThatDoNotFitAreRejected(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	for _, property := range []string{
		`{"propertyName":"accountExpires","propertyType":"LargeInteger","values":[9223372036854775808]}`,
		`{"propertyName":"accountExpires","propertyType":"LargeInteger","values":["9223372036854775808"]}`,
		`{"propertyName":"accountExpires","propertyType":"LargeInteger","values":[1e19]}`,
		`{"propertyName":"accountExpires","propertyType":"LargeInteger","values":[1e999999]}`,
		`{"propertyName":"codePage","propertyType":"Integer","values":[2147483648]}`,
		`{"propertyName":"codePage","propertyType":7,"values":[1.5]}`,
		`{"propertyName":"userAccountControl","propertyType":"Integer","values":[4294967808]}`,
	} {
		b.wantRejected(event.TypeObjectCreate, objectWith("beyond", property), "/properties/2/values/0")
	}
	b.wantRejected(event.TypeObjectCreate, objectWith("beyond", `{"propertyName":"codePage","propertyType":7.5,"values":[1]}`), "/properties/2/propertyType")
}

// TestWhatTheTenantDoesNotAllowReachesNoVendor: the faults are told all at once, and by a dry run
// too.
func TestWhatTheTenantDoesNotAllowReachesNoVendor(t *testing.T) {
	t.Parallel()
	b := setupTenant(t, true, tenant.Policy{Containers: []string{unit, organization}, ObjectTypes: []string{"user"}}, "extensionAttribute15")
	one := func(name string) string {
		return objectWith("other", `{"propertyName":"`+name+`","propertyType":"String","values":["x"]}`)
	}
	b.wantRejected(event.TypeObjectCreate, one("extensionAttribute15"), "/properties/2/propertyName")
	b.wantRejected(event.TypeObjectCreate, one("EXTENSIONattribute15"), "/properties/2/propertyName")
	b.wantRejected(event.TypeObjectCreate, one("memberOf"), "/properties/2/propertyName")
	b.wantRejected(event.TypeObjectCreate, one("SAMACCOUNTNAME"), "/properties/2/propertyName")
	b.wantRejected(event.TypeObjectCreate, strings.ReplaceAll(one("description"), unit, "LDAP://dc.evil.example/"+unit), "/createIn")
	b.wantRejected(event.TypeObjectCreate, strings.ReplaceAll(one("description"), unit, "7a4267ce-d354-44e7-8bd6-c681f1284a41"), "/createIn")
	b.wantRejected(event.TypeObjectCreate, `{"createIn":"DC=example,DC=com","objectType":"computer","photo":"=","properties":[
		{"propertyName":"adminCount","propertyType":"Integer","values":[1.5]},{"propertyName":"userAccountControl","propertyType":"Integer","values":[528384]}]}`,
		"/createIn", "/objectType", "/photo", "/properties/0/propertyName", "/properties/0/values/0", "/properties/1/values/0")

	hosted := hostedUser("other", "")
	b.wantRejected(event.TypeBusinessUserCreate, strings.Replace(hosted, "AD01.fabrikam.com", "dc.evil.example", 1), "/preferredDomainController")
	b.wantRejected(event.TypeBusinessUserCreate, strings.Replace(hosted, "LDAP://", "LDAP://dc.evil.example/", 1), "/container")
	b.wantRejected(event.TypeBusinessUserCreate, strings.Replace(hosted, `"isAdmin":false`, `"isAdmin":true,"properties":[{"name":"servicePrincipalName","values":["http/a"]}]`, 1), "/isAdmin", "/properties/0/name")

	if _, err := b.perform(b.run(event.TypeObjectCreate, user(true, "allowed"), time.Now())); err != nil {
		t.Error(err)
	}
	if _, err := b.perform(b.run(event.TypeBusinessUserCreate, hostedUser("allowed", ""), time.Now())); err != nil {
		t.Error(err)
	}
}

// TestAStricterPolicyDoesNotHideWhatWasCreatedBefore: an open call is looked for, whatever the
// policy says by then.
func TestAStricterPolicyDoesNotHideWhatWasCreatedBefore(t *testing.T) {
	t.Parallel()
	b := setupTenant(t, false, tenant.Policy{Containers: []string{"OU=Elsewhere,DC=example,DC=com"}}, "")
	if _, found, err := b.lookUp(b.run(event.TypeObjectCreate, user(true, "lost"), time.Now()), ""); err != nil || found {
		t.Errorf("found %v, %v", found, err)
	}
}

// TestTheSandboxesConfigurationAllowsTheDocumentedExamples: what `mailwright demo` sends passes the
// policy that is written for it.
func TestTheSandboxesConfigurationAllowsTheDocumentedExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range stack.SandboxConfig(stack.SandboxAddress{URL: "http://127.0.0.1:1"}) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	tenants, err := tenant.Load(filepath.Join(dir, stack.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("../../../mailwright/internal/demo/examples/*.json")
	if err != nil || len(examples) == 0 {
		t.Fatal("no examples: ", err)
	}
	for _, path := range examples {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var command struct {
			Type string
			Data json.RawMessage
		}
		var object event.ObjectCreateData
		var user event.BusinessUserCreateData
		var faults []event.Fault
		if err := json.Unmarshal(raw, &command); err != nil {
			t.Fatal(err)
		}
		switch command.Type {
		case event.TypeObjectCreate:
			err = json.Unmarshal(command.Data, &object)
			faults = tenants[stack.SandboxTenant].CheckObject(object)
		case event.TypeBusinessUserCreate:
			err = json.Unmarshal(command.Data, &user)
			faults = tenants[stack.SandboxTenant].CheckBusinessUser(user)
		}
		if err != nil || len(faults) > 0 {
			t.Errorf("%s: %+v, %v", path, faults, err)
		}
	}
}
