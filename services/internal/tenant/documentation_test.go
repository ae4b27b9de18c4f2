package tenant_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/internal/tenant"
)

// TestTheDocumentedFileLoads holds the file that docs/vendors.md shows against the code.
func TestTheDocumentedFileLoads(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("the page shows no file")
	}
	dir := t.TempDir()
	for _, secret := range regexp.MustCompile(`(?m)^[^#\n]*\{file: ([^}]+)\}`).FindAllSubmatch(block[1], -1) {
		path := filepath.Join(dir, string(secret[1]))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "mailwright.yaml")
	if err := os.WriteFile(file, block[1], 0o600); err != nil {
		t.Fatal(err)
	}
	tenants, err := tenant.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c := tenants["contoso"]; c == nil || c.Adaxes == nil || c.ExchangeOnline == nil || c.HostedExchange == nil || c.HostedExchange.LDAP == nil || c.EnPower == nil {
		t.Errorf("the page's file does not show every vendor: %+v", c)
	}
}

// TestThePageNamesWhatIsRefused: every property and bit that is refused by default stands in
// docs/vendors.md.
func TestThePageNamesWhatIsRefused(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Sorted(maps.Keys(tenant.Powerful())), tenant.PowerfulBits()...) {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the page does not name %s", name)
		}
	}
}

// TestTheDocumentedPolicyLoads holds the policy that docs/vendors.md shows against the code.
func TestTheDocumentedPolicyLoads(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(    policy:\n.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("the page shows no policy")
	}
	tenants, err := load(t, "tenants:\n  contoso:\n"+string(block[1])+"    adaxes: {url: 'https://x', token: {file: token}}\n")
	if err != nil {
		t.Fatal(err)
	}
	if c := tenants["contoso"]; c.Policy.Containers == nil || c.Policy.DomainControllers == nil || c.Policy.EnPower.Tenants == nil || c.Operators == nil || c.Keys == "" {
		t.Errorf("the page's policy lacks a setting: %+v", c.Policy)
	}
}
