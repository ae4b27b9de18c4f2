package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/sandbox"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sandboxtest.Clean()
	os.Exit(code)
}

func TestSandboxCommands(t *testing.T) {
	t.Parallel()
	env := sandboxtest.Start(t)
	run := func(args ...string) apptest.Result {
		return apptest.Run(t.Context(), t, apptest.Call{Name: "sandbox", Command: &sandbox.Command{}, Args: append([]string{"--sandbox-url", env.URL}, args...)})
	}
	scripts := filepath.Join("..", "..", "..", "conformance", "testdata", "faults")
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("faults:\n  - {kind: latency, delay: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		code int
		want string // in the output, or in the message where the code is not 0
	}{
		{[]string{"faults", filepath.Join(scripts, "burst.yaml"), "--vendor", "adaxes", "--call", "get-object"}, 0, `adaxes  get-object  any    10    0       "status":502`},
		{[]string{"faults", filepath.Join(scripts, "cursor-failure.yaml"), "--clear"}, 0, "ID  KIND  VENDOR"},
		{[]string{"switches"}, 0, "exchangeonline.cursor-affinity-failure    true"},
		{[]string{"switches", "exchangeonline.read-lag=30s", "adaxes.lower-case-property-names=true"}, 0, "set: 2"},
		{[]string{"switches", "exchangeonline.nonsense=1"}, app.ExitFailure, "exchangeonline.nonsense"},
		{[]string{"scan"}, 0, "EnPower has scanned"},
		{[]string{"clock", "31m"}, 0, "T"},
		{[]string{"reset"}, 0, "begins again"},
		{[]string{"seed", filepath.Join("..", "..", "..", "sandbox", "internal", "seed", "default.yaml")}, 0, "begins again with"},
		{[]string{"seed", wrong}, app.ExitFailure, "refuses"},
		{[]string{"objects", "mailboxes", "--match", "alex@"}, 0, `"alex@contoso.com"`},
		{[]string{"objects", "nonsense"}, app.ExitFailure, "nonsense"},
		{[]string{"approvals"}, 0, "ID  STATE  CALL  TARGET"},
		{[]string{"approvals", "--approve", "99"}, app.ExitFailure, "refuses"},
		{[]string{"approvals", "--deny", "all", "--json"}, 0, `"approvals"`},
		{[]string{"approvals", "--deny", "all", "--approve", "all"}, app.ExitUsage, ""},
		{[]string{"revoke"}, 0, "revoked"},
		{[]string{"population", "1000"}, 0, "1000 mailboxes"},
		{[]string{"population", "--", "-1"}, app.ExitFailure, "refuses"},
		{[]string{"journal", "--limit", "5"}, 0, "TIME  VENDOR"},
		{[]string{"faults", wrong}, app.ExitUsage, "line 2: field delay not found"},
		{[]string{"faults", "--json"}, 0, `{"faults":[]}`},
	} {
		r := run(step.args...)
		text := r.Out
		if step.code != 0 {
			text = r.Err
		}
		if r.Code != step.code || !strings.Contains(text, step.want) {
			t.Errorf("%v: code %d, want %d with %q:\n%s%s", step.args, r.Code, step.code, step.want, r.Out, r.Err)
		}
	}
	if r := apptest.Run(t.Context(), t, apptest.Call{Name: "sandbox", Command: &sandbox.Command{}, Args: []string{"scan", "--state", t.TempDir()}}); r.Code != app.ExitUsage {
		t.Errorf("without a sandbox: code %d: %s", r.Code, r.Err)
	}
}
