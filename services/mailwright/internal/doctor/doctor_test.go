package doctor_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/doctor"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sandboxtest.Clean()
	os.Exit(code)
}

// configured writes the configuration against a sandbox, with texts replaced, and gives its path.
func configured(t *testing.T, env *sandboxtest.Sandbox, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range stack.SandboxConfig(stack.SandboxAddress{URL: env.URL, LDAP: env.LDAP}) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, stack.ConfigFile)
}

func examine(t *testing.T, args ...string) (apptest.Result, map[string]doctor.Finding) {
	t.Helper()
	r := apptest.Run(t.Context(), t, apptest.Call{Name: "doctor", Command: &doctor.Command{}, Args: append(args, "--json")})
	var report struct{ Findings []doctor.Finding }
	if err := json.Unmarshal([]byte(r.Out), &report); err != nil && r.Code != app.ExitUsage {
		t.Fatalf("%v: %s%s", err, r.Out, r.Err)
	}
	byVendor := map[string]doctor.Finding{}
	for _, f := range report.Findings {
		byVendor[f.Vendor] = f
	}
	return r, byVendor
}

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	env := sandboxtest.Start(t)
	file := configured(t, env)
	r, findings := examine(t, file)
	if r.Code != 0 || len(findings) != 5 {
		t.Fatalf("code %d: %s%s", r.Code, r.Out, r.Err)
	}
	for vendor, f := range findings {
		if !f.OK || f.Text == "" || f.Tenant != stack.SandboxTenant {
			t.Errorf("%s: %+v", vendor, f)
		}
	}
	var page struct{ Entries []json.RawMessage }
	if err := env.Do(t.Context(), "GET", "journal?committed=true&vendor=hostedexchange", nil, &page); err != nil || len(page.Entries) > 0 {
		t.Errorf("something was changed: %s, %v", page.Entries, err)
	}
	for call, vendors := range map[string]string{"token": "entra enpower-identity", "search": "adaxes ldap", "bind": "ldap", "Get-AcceptedDomain": "exchangeonline", "Get-Mailbox": "exchangeonline", "list-mailboxes": "enpower"} {
		for vendor := range strings.FieldsSeq(vendors) {
			if err := env.Do(t.Context(), "GET", "journal?call="+call+"&vendor="+vendor, nil, &page); err != nil || len(page.Entries) == 0 {
				t.Errorf("%s was not asked for %s: %v", vendor, call, err)
			}
		}
	}
	table := apptest.Run(t.Context(), t, apptest.Call{Name: "doctor", Command: &doctor.Command{}, Args: []string{file, "--tenant", stack.SandboxTenant}})
	if lines := strings.Split(strings.TrimSpace(table.Out), "\n"); table.Code != 0 || len(lines) != 6 || !strings.HasPrefix(lines[0], "TENANT") {
		t.Errorf("code %d:\n%s", table.Code, table.Out)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	env := sandboxtest.Start(t)
	if err := env.Apply(t.Context(), sandboxapi.Script{Faults: []sandboxapi.Fault{{Vendor: "enpower", Kind: "status", Params: sandboxapi.Params{Status: 503}}}}); err != nil {
		t.Fatal(err)
	}
	r, findings := examine(t, configured(t, env, "adaxes-sandbox-token", "adaxes-expired-token", "entra-sandbox-secret", "wrong-secret", "hosted-reader-password", "wrong-password", "/hosted/mpf/soapisapi.dll", "/hosted/elsewhere"))
	if r.Code != app.ExitFailure || !strings.Contains(r.Err, "5 of 5 checks failed") {
		t.Errorf("code %d: %s", r.Code, r.Err)
	}
	for vendor, kind := range map[string]string{"adaxes": "unavailable", "exchangeonline": "unavailable", "ldap": "refused", "enpower": "unavailable", "hostedexchange": "unavailable"} {
		if f := findings[vendor]; f.OK || f.Kind != kind {
			t.Errorf("%s: %+v, want %s", vendor, f, kind)
		}
	}
	for _, secret := range []string{"adaxes-expired-token", "wrong-secret", "wrong-password"} {
		if strings.Contains(r.Out+r.Err, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
}

func TestAMarkerThatCanNotBeSearchedByIsNamed(t *testing.T) {
	t.Parallel()
	env := sandboxtest.Start(t)
	r, findings := examine(t, configured(t, env, "adm-CustomAttributeText20", "noSuchAttribute"))
	if f := findings["adaxes"]; r.Code != app.ExitFailure || f.OK || f.Kind != "invalid" || !strings.Contains(f.Text, "markerAttribute noSuchAttribute") {
		t.Errorf("code %d: %+v", r.Code, f)
	}
}

func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("tenants:\n  a:\n    adaxes:\n      url: nowhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, _ := examine(t, file); r.Code != app.ExitUsage || !strings.Contains(r.Err, "line 4: tenants.a.adaxes.url") {
		t.Errorf("code %d: %s", r.Code, r.Err)
	}
}
