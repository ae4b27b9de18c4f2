package app_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

func TestJSONHoldsNothingThatATerminalActsUpon(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"CSI of C0":       "\x1b[2J",
		"CSI of C1":       "\u009b2J",
		"OSC of C1":       "\u009d0;title\u009c",
		"delete":          "\u007f",
		"reversed text":   "\u202egpj.exe",
		"tag characters":  "\U000e0041",
		"line separators": "\u2028\u2029",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range []any{text, json.RawMessage(`"` + strings.ReplaceAll(text, "\x1b", `\u001b`) + `"`)} {
				var out bytes.Buffer
				if err := (&app.App{Out: &out}).PrintJSON(v); err != nil {
					t.Fatal(err)
				}
				for _, r := range strings.TrimSuffix(out.String(), "\n") {
					if r < ' ' || r > '~' {
						t.Errorf("%U stands in %q", r, out.String())
					}
				}
				var got string
				if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != text {
					t.Errorf("%q became %q, %v", text, got, err)
				}
			}
		})
	}
}

func TestJSONKeepsLettersAndMendsBytes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app.App{Out: &out}
	if err := a.PrintJSON([]any{"Zoë 木", json.RawMessage("\"\x9b2J\"")}); err != nil {
		t.Fatal(err)
	}
	if want := `["Zoë 木","\ufffd2J"]` + "\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestAStateDirectoryThatWasGivenMustBeThatOfASystem(t *testing.T) {
	t.Parallel()
	running, empty := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(running, stack.EndpointsFile), []byte(`{"nats":"nats://127.0.0.1:14222"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		globals app.Globals
		nats    string
		code    int
	}{
		"running":              {app.Globals{State: running}, "nats://127.0.0.1:14222", 0},
		"none given":           {app.Globals{}, "nats://127.0.0.1:4222", 0},
		"an address":           {app.Globals{NATSURL: "nats://n"}, "nats://n", 0},
		"empty":                {app.Globals{State: empty}, "", app.ExitUsage},
		"not there":            {app.Globals{State: filepath.Join(empty, "typo")}, "", app.ExitUsage},
		"not there, addresses": {app.Globals{State: empty, NATSURL: "nats://n", DatabaseURL: "postgres://p"}, "", app.ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := (&app.App{Globals: c.globals}).Endpoints()
			if app.Code(err) != c.code || err == nil && e.NATS != c.nats {
				t.Errorf("%q, %v", e.NATS, err)
			}
			if err != nil && !strings.Contains(err.Error(), "--state "+c.globals.State) {
				t.Errorf("%v does not name what was given", err)
			}
		})
	}
}
