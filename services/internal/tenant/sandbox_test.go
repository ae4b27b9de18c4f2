package tenant_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/tenant"
)

func TestSandboxConfigLoads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ldap    string
		tenants []string
	}{
		"with LDAP":    {ldap: "ldap://127.0.0.1:3389"},
		"without":      {},
		"more tenants": {tenants: []string{"fabrikam", "adatum"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range stack.SandboxConfig(stack.SandboxAddress{URL: "http://127.0.0.1:8080", LDAP: c.ldap}, c.tenants...) {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			tenants, err := tenant.Load(filepath.Join(dir, stack.ConfigFile))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range append(c.tenants, stack.SandboxTenant) {
				h := tenants[name].HostedExchange
				if (h.LDAP != nil) != (c.ldap != "") || (h.LDAP != nil && h.LDAP.URL != c.ldap) {
					t.Errorf("LDAP of %s is %+v", name, h.LDAP)
				}
			}
			if len(tenants) != len(c.tenants)+1 {
				t.Errorf("got the tenants %v", tenants.Names())
			}
		})
	}
}
