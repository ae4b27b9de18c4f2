package directory_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/services/directory-svc/internal/directory"
	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
	"github.com/mailwright/mailwright/services/internal/worker"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sandboxtest.Clean()
	os.Exit(code)
}

const (
	unit         = "OU=My Organizational Unit,DC=example,DC=com"
	organization = "OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com"
)

// bed is a sandbox with the handlers of a tenant that sets no marker aside.
type bed struct {
	*testing.T
	box      *sandboxtest.Sandbox
	handlers map[string]operation.Handler
}

func setup(t *testing.T, ldap bool) *bed {
	t.Helper()
	return setupTenant(t, ldap, tenant.Policy{DomainControllers: []string{"AD01.fabrikam.com"}}, "")
}

// setupTenant is setup for a tenant with a policy and a marker.
func setupTenant(t *testing.T, ldap bool, policy tenant.Policy, marker string) *bed {
	t.Helper()
	b := &bed{T: t, box: sandboxtest.Start(t)}
	hosted := &tenant.HostedExchange{URL: b.box.URL + "/hosted/mpf/soapisapi.dll", Username: `FABRIKAM\provisioner`, Password: tenant.Secret{String: secret.New("hosted-sandbox-password")}}
	if ldap {
		hosted.LDAP = &tenant.LDAP{URL: b.box.LDAP, Insecure: true, BindDN: `FABRIKAM\reader`, Password: tenant.Secret{String: secret.New("hosted-reader-password")}, BaseDN: "DC=fabrikam,DC=com"}
	}
	var err error
	b.handlers, err = directory.Handlers(worker.Dependencies{
		Config: &worker.Config{VendorTimeout: 20 * time.Second},
		Tenants: tenant.Tenants{"contoso": {
			Policy: policy,
			Adaxes: &tenant.Adaxes{URL: b.box.URL + "/adaxes/restApi", Token: tenant.Secret{String: secret.New("adaxes-sandbox-token")}, MarkerAttribute: marker}, HostedExchange: hosted,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) control(method, path string, body any) {
	b.Helper()
	if err := b.box.Do(b.Context(), method, path, body, nil); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) set(name string, value any) {
	b.Helper()
	b.control(http.MethodPut, "switches", map[string]any{name: value})
}

func (b *bed) strike(call, kind string) {
	b.Helper()
	b.control(http.MethodPost, "faults", map[string]any{"call": call, "kind": kind, "count": 1})
}

// run is an attempt at a command that came at a time.
func (b *bed) run(eventType, data string, came time.Time) *operation.Run {
	b.Helper()
	e, err := event.New("1", "/test", eventType, []byte(data))
	if err != nil {
		b.Fatal(err)
	}
	return &operation.Run{Command: e, ID: "id", Tenant: "contoso", Operation: event.OperationData{ReceivedAt: came}}
}

func (b *bed) perform(run *operation.Run) (operation.Result, error) {
	return b.handlers[run.Command.Type()].Perform(b.Context(), run)
}

// settle looks for what an earlier call left, which ended with a code.
func (b *bed) settle(run *operation.Run, code string) (operation.Result, bool, error) {
	run.Settling, run.Open = true, &event.FailureData{Code: code}
	return b.handlers[run.Command.Type()].LookUp(b.Context(), run)
}

// repeat performs again what was not found.
func (b *bed) repeat(run *operation.Run) error {
	run.Settling = false
	_, err := b.perform(run)
	return err
}

// user is the command to create a user; without a name the vendor makes it up.
func user(named bool, account string) string {
	name := `{"propertyName":"givenName","propertyType":"String","values":["Made"]},{"propertyName":"sn","propertyType":"String","values":["Up"]}`
	if named {
		name = `{"propertyName":"cn","propertyType":"String","values":["` + account + `"]}`
	}
	if account != "" {
		name += `,{"propertyName":"sAMAccountName","propertyType":"String","values":["` + account + `"]}`
	}
	return `{"createIn":"` + unit + `","objectType":"user","properties":[` + name + `]}`
}

func hostedUser(upn, plan string) string {
	return `{"container":"LDAP://` + organization + `","userPrincipalName":"` + upn + `@alpineskihouse.com","preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"planName":"` + plan + `"}`
}

func wantsKind(t *testing.T, err error, kind failure.Kind, parts ...string) {
	t.Helper()
	if !failure.Is(err, kind) {
		t.Fatalf("got %v, want %s", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not tell %q", err, part)
		}
	}
}

func TestALostObjectIsFoundByItsNames(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	for name, tt := range map[string]struct{ rule, data, dn string }{
		"where it was wanted":   {"none", user(true, "plain"), "CN=plain," + unit},
		"renamed by a rule":     {"rename", user(true, "renamed"), "CN=renamed (renamed)," + unit},
		"moved by a rule":       {"move", user(true, "moved"), "CN=moved,DC=example,DC=com"},
		"named by the patterns": {"none", user(false, "madeup"), "CN=Made Up," + unit},
	} {
		b.set("adaxes.business-rule", tt.rule)
		b.strike("create-object", "timeout-after")
		run := b.run(event.ObjectCreate, tt.data, time.Now())
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown)
		result, found, err := b.settle(run, "")
		if data, _ := result.Data.(event.ObjectCreatedData); err != nil || !found || data.Object.DN != tt.dn || data.Object.GUID == "" {
			t.Errorf("%s: %+v, %v, %v", name, result.Data, found, err)
		}
	}
}

func TestAnOlderObjectOfTheNameIsNotOurs(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	for eventType, data := range map[string]string{event.ObjectCreate: user(true, "older"), event.BusinessUserCreate: hostedUser("older", "")} {
		if _, err := b.perform(b.run(eventType, data, time.Now())); err != nil {
			t.Fatal(err)
		}
		run := b.run(eventType, data, time.Now().Add(time.Hour))
		if _, found, err := b.settle(run, ""); err != nil || found {
			t.Errorf("%s: found %v, %v", eventType, found, err)
		}
		wantsKind(t, b.repeat(run), failure.Refused)
	}
}

func TestANameThatIsTakenAfterALostCreateIsLookedForAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.set("adaxes.read-lag", "1h")
	b.set("ldap.read-lag", "1h")
	for eventType, tt := range map[string]struct{ call, data string }{
		event.ObjectCreate: {"create-object", user(true, "lagging")}, event.BusinessUserCreate: {"CreateBusinessUser", hostedUser("lagging", "BaseMail")},
	} {
		b.strike(tt.call, "timeout-after")
		run := b.run(eventType, tt.data, time.Now())
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown)
		if _, found, err := b.settle(run, ""); err != nil || found {
			t.Fatalf("%s: found %v, %v", eventType, found, err)
		}
		wantsKind(t, b.repeat(run), failure.Unknown, "looked for again")
		// Nobody's call was lost: the name is another's.
		_, err = b.perform(b.run(eventType, tt.data, time.Now()))
		wantsKind(t, err, failure.Refused)
	}
}

func TestANameThatTheVendorMakesUpIsNeverCreatedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	b.strike("create-object", "timeout-before")
	run := b.run(event.ObjectCreate, user(false, "never"), time.Now())
	_, err := b.perform(run)
	wantsKind(t, err, failure.Unknown)
	_, _, err = b.settle(run, "")
	wantsKind(t, err, failure.Unknown, "not created again")
	// With nothing at all to look for it goes to a person.
	_, _, err = b.settle(b.run(event.ObjectCreate, user(false, ""), time.Now()), "")
	if !errors.Is(err, operation.ErrCanNotLookUp) {
		t.Error(err)
	}
}

func TestAGUIDThatCanNotBeReadIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.set("adaxes.read-lag", "700ms") // shows at the third attempt
	b.set("ldap.read-lag", "1h")
	result, err := b.perform(b.run(event.ObjectCreate, user(true, "soon"), time.Now()))
	if data, _ := result.Data.(event.ObjectCreatedData); err != nil || data.Object.GUID == "" || len(data.Warnings) > 0 {
		t.Errorf("%+v, %v", result.Data, err)
	}
	b.set("adaxes.read-lag", "1h")
	result, err = b.perform(b.run(event.ObjectCreate, user(true, "late"), time.Now()))
	if data, _ := result.Data.(event.ObjectCreatedData); err != nil || data.Object.GUID != "" || data.Object.DN != "CN=late,"+unit || len(data.Warnings) != 1 || !strings.Contains(data.Warnings[0].Text, "GUID could not be read") {
		t.Errorf("%+v, %v", result.Data, err)
	}
	result, err = b.perform(b.run(event.BusinessUserCreate, hostedUser("late", ""), time.Now()))
	if data, _ := result.Data.(event.BusinessUserCreatedData); err != nil || data.User.GUID != "" || data.User.Path == "" || len(data.Warnings) != 1 || !strings.Contains(data.Warnings[0].Text, "GUID could not be read") {
		t.Errorf("%+v, %v", result.Data, err)
	}
}

// TestAnEndOfUnknownReach: the provisioning system ends with its generic error, with a user left behind and with none.
func TestAnEndOfUnknownReach(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.strike("CreateBusinessUser", "partial")
	run := b.run(event.BusinessUserCreate, hostedUser("half", "BaseMail"), time.Now())
	_, err := b.perform(run)
	wantsKind(t, err, failure.Unknown, "0x80004005")
	result, found, err := b.settle(run, failure.Of(err).Code)
	if data, _ := result.Data.(event.BusinessUserCreatedData); err != nil || !found || data.User.GUID == "" || data.Mailbox != nil || len(data.Warnings) != 2 || !strings.Contains(data.Warnings[1].Text, "no mailbox") {
		t.Errorf("%+v, %v, %v", result.Data, found, err)
	}

	run = b.run(event.BusinessUserCreate, hostedUser("none", "PlatinumMail"), time.Now())
	_, err = b.perform(run)
	wantsKind(t, err, failure.Unknown)
	if _, found, err := b.settle(run, failure.Of(err).Code); err != nil || found {
		t.Errorf("found %v, %v", found, err)
	}
	wantsKind(t, b.repeat(run), failure.Refused, "left no user")

	without := setup(t, false)
	without.strike("CreateBusinessUser", "partial")
	_, err = without.perform(without.run(event.BusinessUserCreate, hostedUser("half", "BaseMail"), time.Now()))
	wantsKind(t, err, failure.Refused, "0x80004005", "without ldap")
}
