package nats_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/nats"
)

func TestWrongCallsDoNothing(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no folder of seeds":  {"--format", "config"},
		"none for JWTs":       {"--format", "jwt"},
		"no tenant's name":    {"--tenant", "Contoso"},
		"no domain":           {"--tenant", "contoso/mail"},
		"no partition":        {"--partitions", "0"},
		"an unknown version":  {"--server-version", "1.0"},
		"an unknown format":   {"--format", "xml"},
		"a pattern as tenant": {"--tenant", "*"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := run(t, args...); r.Code != app.ExitUsage || r.Out != "" {
				t.Errorf("code %d, %s", r.Code, r.Out)
			}
		})
	}
}

func TestJSONNamesWhatEachUserMayDo(t *testing.T) {
	t.Parallel()
	r := run(t, "--format", "json", "--tenant", "contoso/mailbox")
	var users []struct {
		Name    string `json:"name"`
		Publish struct {
			Allow []string `json:"allow"`
		} `json:"publish"`
	}
	if err := json.Unmarshal([]byte(r.Out), &users); err != nil || r.Code != 0 {
		t.Fatalf("%v, code %d: %s", err, r.Code, r.Out)
	}
	for _, u := range users {
		if u.Name == "publisher-contoso-mailbox" && u.Publish.Allow[0] == "mailwright.cmd.contoso.mailbox.*" {
			return
		}
	}
	t.Errorf("no publisher: %s", r.Out)
}

func TestConfigurationsHoldNoSeed(t *testing.T) {
	t.Parallel()
	for format, holds := range map[string]string{"config": "jetstream: enabled", "jwt": "resolver: MEMORY"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "seeds")
			r := run(t, "--format", format, "--seeds", dir)
			if r.Code != 0 || !strings.Contains(r.Out, holds) {
				t.Fatalf("code %d: %s%s", r.Code, r.Out, r.Err)
			}
			files, err := filepath.Glob(filepath.Join(dir, "*.nk"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%d seeds, %v", len(files), err)
			}
			for _, file := range files {
				seed, err := os.ReadFile(file)
				if err != nil || strings.Contains(r.Out+r.Err, strings.TrimSpace(string(seed))) {
					t.Errorf("%s is printed, or cannot be read: %v", file, err)
				}
			}
		})
	}
}

func run(t *testing.T, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "nats", Command: &nats.Command{}, Args: append([]string{"permissions"}, args...)})
}
