package stack_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mailwright/mailwright/pkg/stack"
	"github.com/mailwright/mailwright/pkg/tenant"
)

func TestSandboxConfigIsOneThatServicesTake(t *testing.T) {
	t.Parallel()
	for name, ldap := range map[string]string{"with LDAP": "ldap://127.0.0.1:3389", "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range stack.SandboxConfig("http://127.0.0.1:8080", ldap) {
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
			h := tenants[stack.SandboxTenant].HostedExchange
			if (h.LDAP != nil) != (ldap != "") || (h.LDAP != nil && h.LDAP.URL != ldap) {
				t.Errorf("LDAP is %+v", h.LDAP)
			}
		})
	}
}
