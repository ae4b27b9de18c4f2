package inventory_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/internal/testprograms"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/inventory"
)

// env is the sandbox, NATS, the two services and Postgres, as processes.
type env struct {
	*testing.T
	*stack.Stack
}

func start(t *testing.T) env {
	t.Helper()
	bin, remove, err := testprograms.Dir("sandbox", "inventory-svc", "projection-svc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	s, err := stack.Start(t.Context(), stack.Options{Dir: apptest.Dir(t), Bin: bin, Services: []string{"inventory-svc", "projection-svc"}, NATSInProcess: true, Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return env{t, s}
}

func (s env) run(code int, args ...string) apptest.Result {
	s.Helper()
	if args[0] == "sync" {
		args = append(args, "--tenant", s.Endpoints.Tenant)
	}
	r := apptest.Run(context.Background(), s.T, apptest.Call{Name: "inventory", Command: &inventory.Command{},
		Args: append([]string{"--nats-url", s.Endpoints.NATS, "--database-url", s.Endpoints.Postgres}, args...)})
	if r.Code != code {
		s.Fatalf("%v: exit code %d, want %d\n%s%s", args, r.Code, code, r.Out, r.Err)
	}
	return r
}

func (s env) populate(format string, args ...any) {
	s.Helper()
	if err := (sandboxapi.Client{URL: s.Endpoints.Sandbox}).Do(s.Context(), "POST", "enpower/population", fmt.Appendf(nil, format, args...), nil); err != nil {
		s.Fatal(err)
	}
}

// projected waits until Postgres has an inventory's counts and as many rows of its own.
func (s env) projected(rows int, args ...string) [][]string {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		r := apptest.Run(context.Background(), s.T, apptest.Call{Name: "inventory", Command: &inventory.Command{},
			Args: append(append([]string{"--database-url", s.Endpoints.Postgres}, args...), "--csv")})
		lines, err := csv.NewReader(strings.NewReader(r.Out)).ReadAll()
		if err == nil && r.Code == 0 && len(lines) == rows+1 {
			return lines
		}
		if time.Now().After(deadline) {
			s.Fatalf("%v: %d lines, want %d; exit code %d\n%s", args, len(lines), rows+1, r.Code, r.Err)
		}
	}
}

// count is a line of what sync --csv prints.
func count(t *testing.T, r apptest.Result, what string) int {
	t.Helper()
	for line := range strings.Lines(r.Out) {
		var n int
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ","); name == what {
			if _, err := fmt.Sscan(value, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no line %q in\n%s", what, r.Out)
	return 0
}

// TestInventoriesFromTheCommandLine takes inventories and reads what they found, as a person would.
func TestInventoriesFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.populate(`{"count":500}`)
	first := s.run(0, "sync", "--csv", "--id", "first")
	seen := count(t, first, "seen")
	if seen < 500 || count(t, first, "new") != seen || !strings.Contains(first.Err, "operation ") {
		t.Fatalf("%s%s", first.Out, first.Err)
	}
	all := s.projected(seen, "ls")
	if all[0][1] != "email_address" {
		t.Errorf("heading %v", all[0])
	}
	for _, c := range []struct {
		rows int
		args []string
	}{
		{50, []string{"ls", "--type", "shared", "mailbox0"}}, {1, []string{"ls", "mailbox0000042"}}, {0, []string{"ls", "mailbox%42"}}, {0, []string{"ls", "--missing"}},
		{7, []string{"ls", "--limit", "7"}}, {0, []string{"ls", "--near-quota", "0.99", "mailbox0"}}, {seen, []string{"ls", "--changed-since", "1h"}}, {0, []string{"ls", "--tenant", "other"}},
	} {
		s.projected(c.rows, c.args...)
	}

	s.populate(`{"count":500,"changed":0.1,"removed":0.05}`)
	second := s.run(0, "sync", "--csv", "--id", "second")
	changed, missing := count(t, second, "changed"), count(t, second, "missing")
	if changed == 0 || missing == 0 || count(t, second, "seen") != seen-missing {
		t.Fatal(second.Out)
	}
	id := strings.Fields(second.Err)[1]
	diff := s.projected(changed+missing, "diff", id)
	s.projected(missing, "diff", id[:8], "--change", "missing")
	s.projected(changed+missing, "diff", strings.Fields(first.Err)[1], id)
	s.projected(missing, "ls", "--missing")
	s.projected(seen, "ls", "--all")
	told := s.run(0, "diff", "--since", "1h")
	if !strings.Contains(told.Err, "2 inventories") || !strings.Contains(told.Err, fmt.Sprintf("%d are not listed", changed+missing)) {
		t.Error(told.Err)
	}
	var example []string
	for _, line := range diff[1:] {
		if line[2] == "changed" {
			example = line
		}
	}
	if example == nil || !strings.Contains(example[4], "itemCount ") || !strings.Contains(example[4], " -> ") {
		t.Errorf("a changed mailbox: %v", example)
	}
	show := s.run(0, "show", strings.ToUpper(example[3]))
	if !strings.Contains(show.Out, "email_address") || !strings.Contains(show.Out, example[3]) || strings.Contains(show.Out, "missing_since") {
		t.Error(show.Out)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(s.run(0, "show", "--json", example[3]).Out), &document); err != nil || document["change"] != "changed" {
		t.Errorf("%v %v", err, document)
	}

	s.populate(`{"count":500,"removed":0.9}`)
	suspect := s.run(app.ExitSuspect, "sync", "--csv")
	if count(t, suspect, "missing") != 0 || !strings.Contains(suspect.Err, "--accept-missing") {
		t.Errorf("%s%s", suspect.Out, suspect.Err)
	}
	if accepted := s.run(0, "sync", "--csv", "--accept-missing"); count(t, accepted, "missing") < 300 {
		t.Error(accepted.Out)
	}
}

func TestWrongCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"sync", "--page-size", "2000"}, app.ExitUsage, "/pageSize must be at most 1000"},
		{[]string{"sync"}, app.ExitUsage, "which tenant?"},
		{[]string{"ls", "--inactive", "yesterday"}, app.ExitUsage, "--inactive yesterday"},
		{[]string{"ls", "--missing", "--all"}, app.ExitUsage, "can't be used together"},
		{[]string{"diff"}, app.ExitUsage, "--since"},
		{[]string{"diff", "a", "--since", "1h"}, app.ExitUsage, "--since"},
		{[]string{"ls", "--database-url", "postgres://user:hush@127.0.0.1:1/x"}, app.ExitFailure, "Postgres at 127.0.0.1:1"},
	} {
		r := apptest.Run(t.Context(), t, apptest.Call{Name: "inventory", Command: &inventory.Command{}, Args: c.args})
		if r.Code != c.code || !strings.Contains(r.Err, c.says) || strings.Contains(r.Err, "hush") {
			t.Errorf("%v: exit code %d, %s", c.args, r.Code, r.Err)
		}
	}
}
