package tenant_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
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

// TestThePageHasEverySetting: each setting of a tenant, but those of its vendors, has a row in
// docs/vendors.md.
func TestThePageHasEverySetting(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range settings("", reflect.TypeFor[tenant.Tenant]()) {
		if !strings.Contains(string(page), "\n| `"+name+"` | ") {
			t.Errorf("the page has no row of %s", name)
		}
	}
}

// settings names the members of a section of the file, and of the sections within it; vendors are
// pointers.
func settings(prefix string, section reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(section) {
		name := prefix + f.Tag.Get("yaml")
		switch f.Type.Kind() {
		case reflect.Pointer:
		case reflect.Struct:
			names = append(names, settings(name+".", f.Type)...)
		default:
			names = append(names, name)
		}
	}
	return names
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
