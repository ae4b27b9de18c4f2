package directory_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/directory-svc/internal/directory"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
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

// env is a sandbox with the handlers of a tenant that sets no marker aside.
type env struct {
	*testing.T
	sandbox  *sandboxtest.Sandbox
	handlers map[string]operation.Handler
}

func setup(t *testing.T, ldap bool) *env {
	t.Helper()
	return setupTenant(t, ldap, tenant.Policy{DomainControllers: []string{"AD01.fabrikam.com"}}, "")
}

// setupTenant is setup for a tenant with a policy and a marker.
func setupTenant(t *testing.T, ldap bool, policy tenant.Policy, marker string) *env {
	t.Helper()
	b := &env{T: t, sandbox: sandboxtest.Start(t)}
	hosted := &tenant.HostedExchange{URL: b.sandbox.URL + "/hosted/mpf/soapisapi.dll", Username: `FABRIKAM\provisioner`, Password: tenant.Secret{String: secret.New("hosted-sandbox-password")}}
	if ldap {
		hosted.LDAP = &tenant.LDAP{URL: b.sandbox.LDAP, Insecure: true, BindDN: `FABRIKAM\reader`, Password: tenant.Secret{String: secret.New("hosted-reader-password")}, BaseDN: "DC=fabrikam,DC=com"}
	}
	var err error
	b.handlers, err = directory.Handlers(worker.Dependencies{
		Config: &worker.Config{VendorTimeout: 20 * time.Second},
		Tenants: tenant.Tenants{"contoso": {
			Policy: policy,
			Adaxes: &tenant.Adaxes{URL: b.sandbox.URL + "/adaxes/restApi", Token: tenant.Secret{String: secret.New("adaxes-sandbox-token")}, MarkerAttribute: marker}, HostedExchange: hosted,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.CheckHandlers(event.DomainDirectory, b.handlers); err != nil {
		t.Error(err)
	}
	return b
}

func (b *env) control(method, path string, body any) {
	b.Helper()
	if err := b.sandbox.Do(b.Context(), method, path, body, nil); err != nil {
		b.Fatal(err)
	}
}

func (b *env) set(name string, value any) {
	b.Helper()
	b.control(http.MethodPut, "switches", map[string]any{name: value})
}

func (b *env) strike(call, kind string) {
	b.Helper()
	b.control(http.MethodPost, "faults", map[string]any{"call": call, "kind": kind, "count": 1})
}

// run is an attempt at a command that came at a time.
func (b *env) run(eventType, data string, came time.Time) *operation.Attempt {
	b.Helper()
	e, err := event.New("1", "/test", eventType, []byte(data))
	if err != nil {
		b.Fatal(err)
	}
	return &operation.Attempt{Command: e, ID: "id", Tenant: "contoso", Operation: event.OperationData{ReceivedAt: came}}
}

func (b *env) perform(run *operation.Attempt) (operation.Reply, error) {
	return b.handlers[run.Command.Type()].Perform(b.Context(), run)
}

// lookUp looks for the object of an earlier call that ended with a code.
func (b *env) lookUp(run *operation.Attempt, code string) (operation.Reply, bool, error) {
	run.Prior = &operation.PriorCall{Failure: event.FailureData{Code: code}}
	return b.handlers[run.Command.Type()].LookUp(b.Context(), run)
}

// repeat performs again what was not found.
func (b *env) repeat(run *operation.Attempt) error {
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
		run := b.run(event.TypeObjectCreate, tt.data, time.Now())
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown)
		result, found, err := b.lookUp(run, "")
		if data, _ := result.Data.(event.ObjectCreatedData); err != nil || !found || data.Object.DN != tt.dn || data.Object.GUID == "" {
			t.Errorf("%s: %+v, %v, %v", name, result.Data, found, err)
		}
	}
}

func TestAnOlderObjectOfTheNameIsNotOurs(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	for eventType, data := range map[string]string{event.TypeObjectCreate: user(true, "older"), event.TypeBusinessUserCreate: hostedUser("older", "")} {
		if _, err := b.perform(b.run(eventType, data, time.Now())); err != nil {
			t.Fatal(err)
		}
		run := b.run(eventType, data, time.Now().Add(time.Hour))
		if _, found, err := b.lookUp(run, ""); err != nil || found {
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
		event.TypeObjectCreate: {"create-object", user(true, "lagging")}, event.TypeBusinessUserCreate: {"CreateBusinessUser", hostedUser("lagging", "BaseMail")},
	} {
		b.strike(tt.call, "timeout-after")
		run := b.run(eventType, tt.data, time.Now())
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown)
		if _, found, err := b.lookUp(run, ""); err != nil || found {
			t.Fatalf("%s: found %v, %v", eventType, found, err)
		}
		wantsKind(t, b.repeat(run), failure.Unknown, "may have created it")
		// Nobody's call was lost: the name is another's.
		_, err = b.perform(b.run(eventType, tt.data, time.Now()))
		wantsKind(t, err, failure.Refused)
	}
}

func TestANameThatTheVendorMakesUpIsNeverCreatedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	b.strike("create-object", "timeout-before")
	run := b.run(event.TypeObjectCreate, user(false, "never"), time.Now())
	_, err := b.perform(run)
	wantsKind(t, err, failure.Unknown)
	_, _, err = b.lookUp(run, "")
	wantsKind(t, err, failure.Unknown, "not created again")
	// With nothing at all to look for it goes to a person.
	_, _, err = b.lookUp(b.run(event.TypeObjectCreate, user(false, ""), time.Now()), "")
	if !errors.Is(err, operation.ErrCannotLookUp) {
		t.Error(err)
	}
}

func TestAGUIDThatCanNotBeReadIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.set("adaxes.read-lag", "700ms") // shows at the third attempt
	b.set("ldap.read-lag", "1h")
	result, err := b.perform(b.run(event.TypeObjectCreate, user(true, "soon"), time.Now()))
	if data, _ := result.Data.(event.ObjectCreatedData); err != nil || data.Object.GUID == "" || len(data.Warnings) > 0 {
		t.Errorf("%+v, %v", result.Data, err)
	}
	b.set("adaxes.read-lag", "1h")
	result, err = b.perform(b.run(event.TypeObjectCreate, user(true, "late"), time.Now()))
	if data, _ := result.Data.(event.ObjectCreatedData); err != nil || data.Object.GUID != "" || data.Object.DN != "CN=late,"+unit || len(data.Warnings) != 1 || !strings.Contains(data.Warnings[0].Text, "GUID could not be read") {
		t.Errorf("%+v, %v", result.Data, err)
	}
	result, err = b.perform(b.run(event.TypeBusinessUserCreate, hostedUser("late", ""), time.Now()))
	if data, _ := result.Data.(event.BusinessUserCreatedData); err != nil || data.User.GUID != "" || data.User.Path == "" || len(data.Warnings) != 1 || !strings.Contains(data.Warnings[0].Text, "GUID could not be read") {
		t.Errorf("%+v, %v", result.Data, err)
	}
}

// TestAnEndOfUnknownReach: the provisioning system ends with its generic error, with a user left
// behind and with none.
func TestAnEndOfUnknownReach(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.strike("CreateBusinessUser", "partial")
	run := b.run(event.TypeBusinessUserCreate, hostedUser("half", "BaseMail"), time.Now())
	_, err := b.perform(run)
	wantsKind(t, err, failure.Unknown, "0x80004005")
	result, found, err := b.lookUp(run, failure.Of(err).Code)
	if data, _ := result.Data.(event.BusinessUserCreatedData); err != nil || !found || data.User.GUID == "" || data.Mailbox != nil || len(data.Warnings) != 2 || !strings.Contains(data.Warnings[1].Text, "no mailbox") {
		t.Errorf("%+v, %v, %v", result.Data, found, err)
	}

	run = b.run(event.TypeBusinessUserCreate, hostedUser("none", "PlatinumMail"), time.Now())
	_, err = b.perform(run)
	wantsKind(t, err, failure.Unknown)
	if _, found, err := b.lookUp(run, failure.Of(err).Code); err != nil || found {
		t.Errorf("found %v, %v", found, err)
	}
	wantsKind(t, b.repeat(run), failure.Refused, "left no user")

	// Without a directory to look into a person has to.
	without := setup(t, false)
	without.strike("CreateBusinessUser", "partial")
	run = without.run(event.TypeBusinessUserCreate, hostedUser("half", "BaseMail"), time.Now())
	_, err = without.perform(run)
	wantsKind(t, err, failure.Unknown, "0x80004005")
	if _, _, err := without.lookUp(run, failure.Of(err).Code); !errors.Is(err, operation.ErrCannotLookUp) {
		t.Error(err)
	}
}

// away strikes a create with a 503, before or after the vendor has acted.
func (b *env) away(call, when string) {
	b.Helper()
	b.control(http.MethodPost, "faults", map[string]any{"call": call, "kind": "status", "count": 1, "params": map[string]any{"status": 503, "when": when}})
}

// made counts the objects of the tenant whose identity contains a text.
func (b *env) made(match string) int {
	b.Helper()
	var page struct{ Objects []json.RawMessage }
	if err := b.sandbox.Do(b.Context(), http.MethodGet, "objects?kind=objects&match="+url.QueryEscape(match), nil, &page); err != nil {
		b.Fatal(err)
	}
	return len(page.Objects)
}

// TestACreateThatIsAnsweredBy503IsOpen: the vendor may have acted. An object that it made is found
// and is ours; what shows nothing is created once.
func TestACreateThatIsAnsweredBy503IsOpen(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	for _, tt := range []struct{ name, call, eventType, data, match string }{
		{"object", "create-object", event.TypeObjectCreate, user(true, "awaydone"), "awaydone"},
		{"hosted user", "CreateBusinessUser", event.TypeBusinessUserCreate, hostedUser("awaydone", "BaseMail"), "awaydone@"},
	} {
		b.away(tt.call, "after")
		run := b.run(tt.eventType, tt.data, time.Now())
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown, "HTTP 503")
		if _, found, err := b.lookUp(run, "HTTP 503"); err != nil || !found {
			t.Errorf("%s: found %v, %v", tt.name, found, err)
		}

		b.away(tt.call, "before")
		run = b.run(tt.eventType, strings.ReplaceAll(tt.data, "awaydone", "awayundone"), time.Now())
		_, err = b.perform(run)
		wantsKind(t, err, failure.Unknown, "HTTP 503")
		if _, found, err := b.lookUp(run, "HTTP 503"); err != nil || found {
			t.Errorf("%s: found %v, %v", tt.name, found, err)
		}
		if err := b.repeat(run); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if n := b.made("away"); n != 4 {
		t.Errorf("%d objects, want 4", n)
	}
}

// TestATakenNameAfter503IsNotTakenForSomebodyElses: the user cannot be looked for. It is created
// again, which is harmless; if the name is taken then, a person has to look.
func TestATakenNameAfter503IsNotTakenForSomebodyElses(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	for when, taken := range map[string]bool{"after": true, "before": false} {
		b.away("CreateBusinessUser", when)
		run := b.run(event.TypeBusinessUserCreate, hostedUser("away-"+when, "BaseMail"), time.Now())
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown, hostedexchange.CodeAway)
		if _, found, err := b.lookUp(run, hostedexchange.CodeAway); found || err != nil {
			t.Fatalf("%s: found %v, %v", when, found, err)
		}
		err = b.repeat(run)
		if !taken {
			if err != nil {
				t.Errorf("%s: %v", when, err)
			}
			continue
		}
		wantsKind(t, err, failure.Unknown, hostedexchange.CodeExists, "may have created it")
		if _, _, err := b.lookUp(run, failure.Of(err).Code); !errors.Is(err, operation.ErrCannotLookUp) {
			t.Errorf("%s: %v", when, err)
		}
	}
	if n := b.made("away-"); n != 2 {
		t.Errorf("%d users, want 2", n)
	}
}

// TestNoSecondObjectWhereNamesDoNotCollide: the vendor numbers the names that it makes up, and
// Azure AD takes a name twice. After an open create nothing is created again.
func TestNoSecondObjectWhereNamesDoNotCollide(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	b.set("adaxes.pattern-uniquify", true)
	b.set("adaxes.read-lag", "1h")
	const azure = `{"createIn":"OU=Groups,DC=example,DC=onmicrosoft,DC=com","objectType":"group","properties":[
		{"propertyName":"cn","propertyType":"String","values":["Twice"]},{"propertyName":"groupType","propertyType":"Integer","values":[-2147483640]}]}`
	for _, fault := range []string{"503", "lost"} {
		for match, data := range map[string]string{"Made Up": user(false, "madeup"+fault), "Twice": azure} {
			if b.away("create-object", "after"); fault == "lost" {
				b.control(http.MethodDelete, "faults", nil)
				b.strike("create-object", "timeout-after")
			}
			before := b.made(match)
			run := b.run(event.TypeObjectCreate, data, time.Now())
			_, err := b.perform(run)
			wantsKind(t, err, failure.Unknown)
			_, _, err = b.lookUp(run, failure.Of(err).Code)
			wantsKind(t, err, failure.Unknown, "not created again")
			if n := b.made(match) - before; n != 1 {
				t.Errorf("%s, %s: %d objects", fault, match, n)
			}
		}
	}
}

// TestAContainerMayBeNamedByGUID: what an open create made in it is found by its name.
func TestAContainerMayBeNamedByGUID(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	var page struct{ Objects []struct{ GUID, DN string } }
	if err := b.sandbox.Do(t.Context(), http.MethodGet, "objects?kind=objects&match="+url.QueryEscape(unit), nil, &page); err != nil {
		t.Fatal(err)
	}
	guid := ""
	for _, o := range page.Objects {
		if o.DN == unit {
			guid = o.GUID
		}
	}
	b.strike("create-object", "timeout-after")
	run := b.run(event.TypeObjectCreate, `{"createIn":"`+guid+`","objectType":"container","properties":[{"propertyName":"cn","propertyType":"String","values":["By GUID"]}]}`, time.Now())
	_, err := b.perform(run)
	wantsKind(t, err, failure.Unknown)
	result, found, err := b.lookUp(run, "")
	if data, _ := result.Data.(event.ObjectCreatedData); err != nil || !found || data.Object.DN != "CN=By GUID,"+unit {
		t.Errorf("%+v, %v, %v", result.Data, found, err)
	}
}

// TestAContainerThatOurAccountMayNotReadIsNoObstacle to finding what stands in it; what does not
// show is not created again, since nothing tells whether its name would collide.
func TestAContainerThatOurAccountMayNotReadIsNoObstacle(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	hide := func() {
		b.control(http.MethodPost, "faults", map[string]any{"call": "get-object", "match": unit, "kind": "status", "count": 1, "params": map[string]any{"status": 403, "body": `{"message":"m","code":"forbidden"}`}})
	}
	for fault, shows := range map[string]bool{"timeout-after": true, "timeout-before": false} {
		b.strike("create-object", fault)
		run := b.run(event.TypeObjectCreate, user(true, "within"+fault), time.Now())
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown)
		hide()
		_, found, err := b.lookUp(run, "")
		if found != shows || shows && err != nil {
			t.Errorf("%s: found %v, %v", fault, found, err)
		}
		if !shows {
			wantsKind(t, err, failure.Unknown, "not created again")
		}
	}
}

// TestTheAgeOfAnObjectInEveryForm: a create is lost before it was done, and an object of the name
// is there. Only one that is certainly not older than the command is taken for this operation's
// own.
func TestTheAgeOfAnObjectInEveryForm(t *testing.T) {
	t.Parallel()
	b := setup(t, false)
	now := time.Now().UTC()
	for name, tt := range map[string]struct {
		whenCreated string // as JSON
		ours        bool
		person      bool // nothing tells whose it is
	}{
		"old, zone":              {`["2019-03-04T12:12:12Z"]`, false, false},
		"old, no zone":           {`["2019-03-04T12:12:12"]`, false, false},
		"old, generalized time":  {`["20190304121212.0Z"]`, false, false},
		"old, date":              {`["2019-03-04"]`, false, false},
		"new, zone":              {`["` + now.Format(time.RFC3339) + `"]`, true, false},
		"new, another zone":      {`["` + now.In(time.FixedZone("", 5*3600)).Format(time.RFC3339) + `"]`, true, false},
		"new, generalized time":  {`["` + now.Format("20060102150405.0Z") + `"]`, true, false},
		"new, no zone":           {`["` + now.Format("2006-01-02T15:04:05") + `"]`, false, true},
		"certainly new, no zone": {`["` + now.Add(15*time.Hour).Format("2006-01-02T15:04:05") + `"]`, true, false},
		"today":                  {`["` + now.Format("2006-01-02") + `"]`, false, true},
		"in a form that is new":  {`["04.03.2019 12:12"]`, false, true},
		"a number":               {`[131960287320000000]`, false, true},
		"empty":                  {`[]`, false, true},
		"two days ago, no zone":  {`["` + now.Add(-48*time.Hour).Format("2006-01-02T15:04:05") + `"]`, false, false},
	} {
		body := `{"guid":"66666666-0000-4000-8000-000000000001","dn":"CN=Michael Smith,` + unit + `","objectType":"user","properties":{"whenCreated":` + tt.whenCreated + `}}`
		b.control(http.MethodDelete, "faults", nil)
		b.strike("create-object", "timeout-before")
		b.control(http.MethodPost, "faults", map[string]any{"call": "get-object", "match": "michael smith", "kind": "status", "params": map[string]any{"status": 200, "body": body}})
		run := b.run(event.TypeObjectCreate, user(true, "Michael Smith"), now)
		_, err := b.perform(run)
		wantsKind(t, err, failure.Unknown)
		_, found, err := b.lookUp(run, "")
		if found != tt.ours || errors.Is(err, operation.ErrCannotLookUp) != tt.person || err != nil && !tt.person {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
		if old := !tt.ours && !tt.person; old {
			wantsKind(t, b.repeat(run), failure.Refused)
		}
	}
}
