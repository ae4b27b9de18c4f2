package permissions_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

var update = flag.Bool("update", false, "write the table into docs/security.md anew")

// table is the table's place in the page.
var table = regexp.MustCompile(`(?s)(<!-- permissions: .*? -->\n).*?(<!-- end of permissions -->)`)

func TestTheDocumentedTableIsWhatTheCodeGives(t *testing.T) {
	t.Parallel()
	const page = "../../../docs/security.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	users := permissions.Users(permissions.Options{Scopes: []permissions.Scope{{Tenant: "contoso"}, {Tenant: "contoso", Domain: event.DomainMailbox}}})
	want := table.ReplaceAll(text, []byte("${1}"+strings.ReplaceAll(permissions.Table(users), "$", "$$")+"${2}"))
	if !table.Match(text) {
		t.Fatalf("%s has no place for the table", page)
	}
	if *update {
		if err := os.WriteFile(page, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", page, diff)
	}
}

func TestAScopeIsATenantOrOneOfItsDomains(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]permissions.Scope{
		"contoso":         {Tenant: "contoso"},
		"contoso/mailbox": {Tenant: "contoso", Domain: event.DomainMailbox},
	} {
		if got, err := permissions.ParseScope(text); err != nil || got != want {
			t.Errorf("ParseScope(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "*", ">", "a.b", "Contoso", "contoso/", "contoso/*", "contoso/mail", "contoso/mailbox/x", "a b", "a\"b"} {
		if got, err := permissions.ParseScope(text); err == nil {
			t.Errorf("ParseScope(%q) = %v, want an error", text, got)
		}
	}
}

func TestSeedsAreMadeOnceAndForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "seeds")
	users := permissions.Users(permissions.Options{})
	keys, err := permissions.Seeds(dir, users)
	if err != nil {
		t.Fatal(err)
	}
	again, err := permissions.Seeds(dir, users)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys, again); diff != "" {
		t.Errorf("the keys change (-first +second):\n%s", diff)
	}
	config := permissions.Config(users, keys)
	for _, u := range users {
		file := permissions.SeedFile(dir, u.Name)
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
		seed, err := os.ReadFile(file)
		if err != nil || strings.Contains(config, string(bytes.TrimSpace(seed))) {
			t.Errorf("the configuration holds the seed of %s, or there is none: %v", u.Name, err)
		}
		if !strings.Contains(config, keys[u.Name]) {
			t.Errorf("the configuration does not name %s", u.Name)
		}
	}
}

func TestAFileThatHoldsNoSeedIsNamedAndNotQuoted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := permissions.SeedFile(dir, "directory-svc")
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := permissions.Seeds(dir, permissions.Users(permissions.Options{}))
	if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error: %v", err)
	}
}

func TestOldServersTakeAcknowledgementsInOneForm(t *testing.T) {
	t.Parallel()
	for old, want := range map[bool]bool{false: true, true: false} {
		var found bool
		for _, u := range permissions.Users(permissions.Options{OldAcknowledgements: old}) {
			for _, r := range u.Publish {
				found = found || strings.HasPrefix(r.Subject, "$JS.ACK.*.*.")
			}
		}
		if found != want {
			t.Errorf("old acknowledgements alone: %v, yet the other form is there: %v", old, found)
		}
	}
}
