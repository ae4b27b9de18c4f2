package certs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/certs"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "certs", &certs.Command{}))
}

func run(t *testing.T, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "certs", Command: &certs.Command{}, Args: args})
}

// made calls the command and gives which certificates it has made, by name.
func made(t *testing.T, args ...string) map[string]bool {
	t.Helper()
	r := run(t, append(args, "--json")...)
	if r.Code != 0 {
		t.Fatalf("exit code %d: %s", r.Code, r.Err)
	}
	var list []struct {
		Name    string
		Renewed bool
	}
	if err := json.Unmarshal([]byte(r.Out), &list); err != nil {
		t.Fatal(err)
	}
	renewed := map[string]bool{}
	for _, c := range list {
		renewed[c.Name] = c.Renewed
	}
	return renewed
}

func TestCertificatesAndSeeds(t *testing.T) {
	t.Parallel()
	dir, out, seeds := filepath.Join(t.TempDir(), "authority"), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(seeds, "mailbox-svc.nk"), []byte("a seed"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--dir", dir, "--out", out, "--seeds", seeds, "nats=nats.example.com", "mailbox-svc"}
	for i, want := range []bool{true, false} {
		if got := made(t, args...); got["nats"] != want || got["mailbox-svc"] != want {
			t.Errorf("call %d made %v", i+1, got)
		}
	}
	if got := made(t, append(args, "--new-ca")...); !got["nats"] || !got["mailbox-svc"] {
		t.Errorf("a new authority made %v", got)
	}
	if seed, err := os.ReadFile(filepath.Join(out, "mailbox-svc", "nats.nk")); err != nil || string(seed) != "a seed" {
		t.Errorf("the seed is %q, %v", seed, err)
	}
	if _, err := os.Stat(filepath.Join(out, "nats", "nats.nk")); err == nil {
		t.Error("NATS has a seed")
	}
}

func TestANameIsAFolder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../nats", "..", "=host", "a/b"} {
		if r := run(t, "--dir", filepath.Join(t.TempDir(), "x"), name); r.Code != app.ExitUsage {
			t.Errorf("%s: exit code %d", name, r.Code)
		}
	}
}
