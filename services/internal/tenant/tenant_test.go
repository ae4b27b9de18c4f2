package tenant_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const whole = `
nats-url: nats://127.0.0.1:4222
tenants:
  contoso:
    adaxes: {url: "https://adaxes.example.com/restApi", token: {file: token}}
    exchangeOnline: {tenantId: "0b4d238a-62fc-4088-0ff3-4ae2b108eed4", clientId: app, clientSecret: {file: token}}
    hostedExchange:
      url: "https://mps/mpf/soapisapi.dll"
      ldap: {url: "ldaps://dc1.example.com", bindDN: 'EXAMPLE\reader', password: {file: token}, baseDN: "DC=example,DC=com"}
      limits: {requestsPerSecond: 2.5, breakAfter: 5, breakFor: 30s, timeout: 2m}
    enpower: {url: "https://graph-us.example.com", tokenUrl: "https://identity.example.com/connect/token", clientId: app, clientSecret: {file: token}}
`

func load(t *testing.T, text string) (tenant.Tenants, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"c.yaml": text, "token": "hunter2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tenant.Load(filepath.Join(dir, "c.yaml"))
}

func TestLoad(t *testing.T) {
	t.Parallel()
	ts, err := load(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	if got := ts["contoso"].Adaxes.Token.Reveal(); got != "hunter2" {
		t.Errorf("token %q", got)
	}
	if got := ts["contoso"].HostedExchange.Client(transport.Config{}).HTTP.Limits; got != (transport.Limits{RequestsPerSecond: 2.5, BreakAfter: 5, BreakFor: 30 * time.Second}) {
		t.Errorf("limits %v", got)
	}
	if h := ts["contoso"].HostedExchange; h.Client(transport.Config{Timeout: time.Minute}).HTTP.Timeout != 2*time.Minute || h.LDAP.Client(time.Minute).Timeout != time.Minute || ts.MaxTimeout(time.Minute) != 2*time.Minute {
		t.Error("a timeout is not its vendor's")
	}
	if out := fmt.Sprintf("%v %+v %#v", ts["contoso"].Adaxes, *ts["contoso"].Adaxes, *ts["contoso"].Adaxes); strings.Contains(out, "hunter2") {
		t.Error(out)
	}
}

func TestLoadNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no section":         {"nats-url: x", "section tenants is missing"},
		"plain secrets":      {"tenants: {a: {plainSecrets: yes, adaxes: {url: 'https://x', token: {file: token}}}}", "tenants.a.plainSecrets: must be allowed, or be left out"},
		"no tenant":          {"tenants: {}", "names no tenant"},
		"unknown member":     {"\n\ntenants: {a: {adaxes: {urk: x}}}", "line 3: field urk not found"},
		"missing URL":        {"tenants: {a: {adaxes: {token: {file: token}}}}", "tenants.a.adaxes.url: is missing"},
		"relative URL":       {"tenants: {a: {adaxes: {url: host/rest, token: {file: token}}}}", "tenants.a.adaxes.url: must be an absolute"},
		"secret elsewhere":   {"tenants: {a: {adaxes: hunter2}}", "line 1: cannot unmarshal !!str a value into"},
		"secret in a name":   {"tenants:\n  a:\n    ? {adaxes: hunter2}\n    : x", "line 3: the name of a member must be a text"},
		"secret in quotes":   {"tenants: {a: {adaxes: '`a`hunter2'}}", "line 1: cannot unmarshal !!str a value into"},
		"secret in file":     {"tenants: {a: {adaxes: {url: 'https://x', token: hunter2}}}", "write {file: PATH} or {env: NAME}"},
		"no secret":          {"tenants: {a: {adaxes: {url: 'https://x'}}}", "tenants.a.adaxes.token: is missing"},
		"no such file":       {"tenants: {a: {adaxes: {url: 'https://x', token: {file: nowhere}}}}", "nowhere"},
		"unset variable":     {"tenants: {a: {adaxes: {url: 'https://x', token: {env: MAILWRIGHT_TEST_UNSET}}}}", "MAILWRIGHT_TEST_UNSET is not set"},
		"line of a member":   {"tenants:\n  a:\n    adaxes:\n      url: 'https://x'\n      token: {env: MAILWRIGHT_TEST_UNSET}", "line 5: tenants.a.adaxes.token: "},
		"line around it":     {"tenants:\n  a:\n    adaxes:\n      url: 'https://x'\n", "line 3: tenants.a.adaxes.token: is missing"},
		"empty tenant":       {"tenants:\n  a:\n", "line 2: tenants.a: names no vendor"},
		"what a client asks": {"tenants: {a: {exchangeOnline: {tenantId: contoso.com, clientId: app, clientSecret: {file: token}}}}", "tenants.a.exchangeOnline: exchangeonline: TenantID must be the tenant's GUID"},
		"no certificate":     {"tenants: {a: {exchangeOnline: {tenantId: x, clientId: app, certificate: {file: token}}}}", "tenants.a.exchangeOnline.certificate: "},
		"LDAP base":          {"tenants: {a: {hostedExchange: {url: 'https://x', ldap: {url: 'ldaps://x', bindDN: r, password: {file: token}, baseDN: x}}}}", "tenants.a.hostedExchange.ldap: ldapdirectory: BaseDN"},
		"http":               {"tenants:\n  a:\n    adaxes:\n      url: http://x\n      token: {file: token}", "line 4: tenants.a.adaxes.url: is http, which carries the credentials in the clear: use https, or set insecure: true"},
		"http token URL":     {"tenants: {a: {enpower: {url: 'https://x', tokenUrl: 'http://x', clientId: app, clientSecret: {file: token}}}}", "tenants.a.enpower.tokenUrl: is http"},
		"negative timeout":   {"tenants:\n  a:\n    adaxes:\n      url: https://x\n      token: {file: token}\n      limits:\n        timeout: -1s", "line 7: tenants.a.adaxes.limits.timeout: is negative"},
		"timeout's unit":     {"tenants:\n  a:\n    adaxes:\n      limits:\n        timeout: 30", "line 5: cannot unmarshal"},
		"tenant's name":      {"tenants:\n  Contoso_1:\n    adaxes: {url: 'https://x', token: {file: token}}", "line 2: tenants.Contoso_1: a tenant's name has 1 to 63 characters of a-z, 0-9 and -"},
		"long name":          {"tenants: {" + strings.Repeat("a", 64) + ": {}}", "a tenant's name has 1 to 63 characters"},
		"no container":       {"tenants:\n  a:\n    policy:\n      containers:\n        - OU=Staff,DC=example,DC=com\n        - LDAP://dc1/OU=Staff,DC=example,DC=com", "line 6: tenants.a.policy.containers.1: must be a DN such as"},
		"empty containers":   {"tenants:\n  a:\n    policy:\n      containers:\n      allowAdmin: true", "line 4: tenants.a.policy.containers: is empty; name at least one, or leave it out"},
		"containers: []":     {"tenants: {a: {policy: {containers: []}}}", "tenants.a.policy.containers: is empty"},
		"empty allow":        {"tenants: {a: {policy: {properties: {allow: }}}}", "tenants.a.policy.properties.allow: is empty"},
		"object type":        {"tenants: {a: {policy: {objectTypes: [User]}}}", "tenants.a.policy.objectTypes.0: must be one of organizationalUnit, container, user"},
		"twice":              {"tenants: {a: {policy: {objectTypes: [user, user]}}}", "tenants.a.policy.objectTypes.1: stands here twice"},
		"allow and deny":     {"tenants: {a: {policy: {properties: {allow: [memberOf], deny: [MEMBEROF]}}}}", "tenants.a.policy.properties.allow.0: stands in deny too"},
		"host":               {"tenants: {a: {policy: {domainControllers: ['ldap://dc1']}}}", "tenants.a.policy.domainControllers.0: must be a host name"},
		"EnPower's tenant":   {"tenants: {a: {policy: {enpower: {tenants: ['']}}}}", "tenants.a.policy.enpower.tenants.0: must be a tenant as EnPower names it"},
		"unknown policy":     {"tenants: {a: {policy: {container: [x]}}}", "line 1: field container not found"},
		"operator":           {"tenants: {a: {operators: ['', 'https://itsm example']}}", "tenants.a.operators.1: must be a CloudEvents source"},
		"empty operators":    {"tenants: {a: {operators: []}}", "tenants.a.operators: is empty"},
		"keys":               {"tenants: {a: {keys: loose}}", "tenants.a.keys: must be strict, or be left out"},
		"second of two":      {"tenants: {a: {enpower: {url: 'https://x'}}}", "tenants.a.enpower.clientId: is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestLoadPolicy(t *testing.T) {
	t.Parallel()
	ts, err := load(t, `
tenants:
  a-1:
    policy:
      containers: ["OU=Staff,DC=example,DC=com", 0b4d238a-62fc-4088-0ff3-4ae2b108eed4]
      objectTypes: [user, group]
      properties: {allow: [servicePrincipalName], deny: [employeeID]}
      domainControllers: [dc1.example.com, "dc2.example.com:389"]
      allowAdmin: true
      enpower: {tenants: [contoso.com]}
    operators: [https://itsm.example.com/changes, /operators/ann]
    keys: strict
    adaxes: {url: "https://adaxes.example.com/restApi", token: {file: token}}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := tenant.Policy{
		Containers: []string{"OU=Staff,DC=example,DC=com", "0b4d238a-62fc-4088-0ff3-4ae2b108eed4"}, ObjectTypes: []string{"user", "group"},
		Properties:        tenant.Properties{Allow: []string{"servicePrincipalName"}, Deny: []string{"employeeID"}},
		DomainControllers: []string{"dc1.example.com", "dc2.example.com:389"}, AllowAdmin: true, EnPower: tenant.EnPowerPolicy{Tenants: []string{"contoso.com"}},
	}
	a := ts["a-1"]
	if d := cmp.Diff(want, a.Policy); d != "" || a.Keys != tenant.KeysStrict || !slices.Equal(a.Operators, []string{"https://itsm.example.com/changes", "/operators/ann"}) {
		t.Errorf("%s %q %q", d, a.Keys, a.Operators)
	}
}

func TestHTTPWhereItHarmsNobody(t *testing.T) {
	t.Parallel()
	for _, adaxes := range []string{"url: 'http://127.0.0.1:8080'", "url: 'http://[::1]'", "url: 'http://localhost/restApi'", "url: 'http://sandbox:8080', insecure: true"} {
		if _, err := load(t, "tenants: {a: {adaxes: {"+adaxes+", token: {file: token}}}}"); err != nil {
			t.Errorf("%s: %v", adaxes, err)
		}
	}
}

func TestClientsFor(t *testing.T) {
	t.Parallel()
	one := tenant.Tenants{"a": {Adaxes: &tenant.Adaxes{URL: "http://a"}}}
	two := tenant.Tenants{"a": {Adaxes: &tenant.Adaxes{URL: "http://a"}}, "b": {EnPower: &tenant.EnPower{}}}
	connect := func(ts tenant.Tenants) *tenant.Clients[string] {
		c, err := tenant.Connect(ts, "adaxes", slog.New(slog.DiscardHandler), func(t *tenant.Tenant) *tenant.Adaxes { return t.Adaxes }, func(a *tenant.Adaxes) (string, error) { return a.URL, nil })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, c := range map[string]struct {
		ts       tenant.Tenants
		id, want string
		wantErr  string
	}{
		"named":              {two, "a", "http://a", ""},
		"none named":         {one, "", "", "is missing; name the tenant"},
		"unknown":            {one, "z", "", "names no tenant that is configured"},
		"without the vendor": {two, "b", "", "names a tenant that does not use adaxes: its configuration has no section adaxes"},
	} {
		got, of, err := connect(c.ts).For(c.id)
		if got != c.want || (err == nil) != (of != nil && of == c.ts[c.id]) || (err == nil) != (c.wantErr == "") || (err != nil && !strings.Contains(err.Error(), c.wantErr)) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
