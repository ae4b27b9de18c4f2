package send_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/send"
)

func run(t *testing.T, stdin string, args ...string) apptest.Result {
	t.Helper()
	return runBare(t, stdin, append([]string{"--tenant", "contoso"}, args...)...)
}

// runBare is run without a tenant.
func runBare(t *testing.T, stdin string, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "send", Command: &send.Command{}, Args: args, Stdin: stdin})
}

// want fails the test where a call did not end as it should.
func want(t *testing.T, r apptest.Result, code int, err string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Err, err) {
		t.Fatalf("exit code %d, want %d with %q on standard error:\n%s%s", r.Code, code, err, r.Out, r.Err)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "send", &send.Command{}))
}

const change = `{"mailbox":"Alex@contoso.com","add":["dana@contoso.com"]}`

func TestPublishesWhatTheContractSays(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"binary", "structured"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			env := apptest.Start(t)
			r := run(t, change, "delegation.change", "--data", "-", "--mode", mode, "--id", "1", "--source", "/hr", "--subject", "Alex",
				"--correlation", "T-1", "--nats-url", env.URL)
			want(t, r, 0, "")
			apptest.Golden(t, "published.txt", r.Out)

			stored, err := stream(t, env).GetMsg(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			address, ok := topology.ParseCommandSubject(stored.Subject)
			if !ok || address.Tenant != "contoso" || address.Domain != event.DomainDelegation || address.Key != event.Token("alex@contoso.com") {
				t.Errorf("stored on %s", stored.Subject)
			}
			if structured := stored.Header.Get("content-type") == "application/cloudevents+json"; structured != (mode == "structured") {
				t.Errorf("headers of mode %s: %v", mode, stored.Header)
			}
			e, err := event.Decode(stored.Header, stored.Data)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{e.Type(), e.ID(), e.Source(), e.Subject(), event.Extension(e, event.AttrCorrelationID), e.DataSchema()}
			if diff := cmp.Diff([]string{event.TypeDelegationChange, "1", "/hr", "Alex", "T-1", event.SchemaURI(event.TypeDelegationChange)}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if e.Time().IsZero() {
				t.Error("no time")
			}
			var data event.DelegationChangeData
			if err := e.DataAs(&data); err != nil || data.Mailbox != "Alex@contoso.com" {
				t.Errorf("data %s, %v", e.Data(), err)
			}
		})
	}
}

func TestDefaultsOfIDAndSource(t *testing.T) {
	t.Parallel()
	r := run(t, "", "inventory.sync", "--dry-run", "--json")
	want(t, r, 0, "")
	var p struct {
		OperationID string
		Key         string
		Header      nats.Header
	}
	if err := json.Unmarshal([]byte(r.Out), &p); err != nil {
		t.Fatal(err)
	}
	id, source := p.Header.Get("ce-id"), p.Header.Get("ce-source")
	if len(id) != 36 || !strings.HasPrefix(source, "/mailwright-cli/") || !strings.Contains(source, "@") {
		t.Errorf("id %q, source %q", id, source)
	}
	if p.OperationID != event.OperationID("contoso", source, id) || p.Key != "all" {
		t.Errorf("operation %s, key %s", p.OperationID, p.Key)
	}
}

// TestEveryTypeIsSentWithARecommendedKey sends the data of each type's example by the short name of
// the type, and nothing else.
func TestEveryTypeIsSentWithARecommendedKey(t *testing.T) {
	t.Parallel()
	for _, commandType := range event.CommandTypes() {
		raw, err := schemas.FS.ReadFile("examples/" + commandType + ".json")
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(nil, raw)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{strings.TrimSuffix(strings.TrimPrefix(commandType, event.Prefix), ".v1"), "--data", "-", "--dry-run", "--json"}
		if event.DomainOf(commandType) == "" { // every domain takes it
			args = append(args, "--domain", string(event.DomainMailbox))
		}
		r := run(t, string(e.Data()), args...)
		want(t, r, 0, "")
		var p struct{ Key string }
		if err := json.Unmarshal([]byte(r.Out), &p); err != nil || p.Key == "" || p.Key != event.Key(e) {
			t.Errorf("%s: key %q, %v; want %q", commandType, p.Key, err, event.Key(e))
		}
	}
}

func TestDryRunRedacts(t *testing.T) {
	t.Parallel()
	for _, commandType := range []string{event.TypeBusinessUserCreate, event.TypeObjectCreate} {
		for _, args := range [][]string{{}, {"--mode", "structured"}, {"--json"}} {
			file := filepath.Join(t.TempDir(), "e.json")
			raw, err := schemas.FS.ReadFile("examples/" + commandType + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			r := run(t, "", append(args, "--dry-run", "--file", file)...)
			want(t, r, 0, "")
			if strings.Contains(r.Out, "Pass1Word") || strings.Contains(r.Out, "MyPassword1!") || !strings.Contains(r.Out, "[redacted]") {
				t.Errorf("a password shows:\n%s", r.Out)
			}
			if len(args) < 2 && commandType == event.TypeBusinessUserCreate {
				apptest.Golden(t, "dry-run"+strings.Join(args, "")+".txt", r.Out)
			}
		}
	}
}

const operationID = "fuom5ln32nj4obpm5vearkc6kh"

func TestUsage(t *testing.T) {
	t.Parallel()
	event1 := `{"specversion":"1.0","id":"1","source":"/hr","type":"io.mailwright.inventory.sync.v1","data":{}}`
	for name, c := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"nothing":              {"", nil, "name a TYPE"},
		"unknown type":         {"", []string{"mailbox.delete", "--data", "{}"}, "mailbox.delete is no command; commands are directory.object.create"},
		"result":               {"", []string{"mailbox.created", "--data", "{}"}, "mailbox.created is no command"},
		"faults":               {"", []string{"mailbox.create", "--data", `{"alias":"x"}`}, "/directoryObject is missing; it is required"},
		"every fault":          {"", []string{"mailbox.create", "--data", `{"alias":"x"}`}, "/alias is not known here"},
		"not JSON":             {"{hunter2", []string{"mailbox.create", "--data", "-"}, "--data: is not JSON"},
		"no such file":         {"", []string{"mailbox.create", "--data", "@does-not-exist.json"}, "does-not-exist.json"},
		"set into a text":      {"", []string{"mailbox.create", "--set", "a=x", "--set", "a.b=y"}, `a.b: "b" stands within a text`},
		"set beyond a list":    {"", []string{"mailbox.create", "--set", "a.1=x"}, `"1" is no position in a list of 0`},
		"set without value":    {"", []string{"mailbox.create", "--set", "hunter2"}, "PATH=VALUE"},
		"file and type":        {"", []string{"mailbox.create", "--file", "-"}, "TYPE does not go with it"},
		"file and data":        {"", []string{"--data", "{}", "--file", "-"}, "--data does not go with it"},
		"empty file":           {"", []string{"--file", "-"}, "holds no event"},
		"file that ends early": {event1[:50], []string{"--file", "-"}, "event 1, near byte"},
		"event without id":     {strings.Replace(event1, `"id":"1",`, "", 1), []string{"--file", "-"}, "event 1: id is missing; it is required"},
		"second event wrong":   {event1 + "\n" + strings.Replace(event1, "{}", `{"pageSize":0}`, 1), []string{"--file", "-"}, "event 2 (1): /pageSize must be at least 1"},
		"foreign type":         {strings.Replace(event1, "io.mailwright", "com.example", 1), []string{"--file", "-", "--no-check"}, "belongs to no domain"},
		"no key":               {"", []string{"mailbox.create", "--no-check"}, "nothing to derive a key from"},
		"key too long":         {"", []string{"inventory.sync", "--key", strings.Repeat("x", 2000)}, "2000 bytes; 1000 are allowed"},
		"mode":                 {"", []string{"inventory.sync", "--mode", "batch"}, "--mode must be one of"},
		"cancel what":          {"", []string{"operation.cancel", "--domain", "directory"}, "/operationId is missing"},
		"cancel where":         {"", []string{"operation.cancel", "--set", "operationId=" + operationID}, "operation.cancel.v1 needs a domain"},
		"another domain":       {"", []string{"inventory.sync", "--domain", "mailbox"}, "inventory.sync.v1 goes to the domain inventory, not to mailbox"},
		"domain":               {"", []string{"operation.cancel", "--domain", "post"}, "--domain must be one of"},
		"not before when":      {"", []string{"inventory.sync", "--not-before", "tomorrow"}, "--not-before tomorrow: want a duration"},
		"tenant":               {"", []string{"inventory.sync", "--tenant", "Contoso"}, `"Contoso" is no name of a tenant`},
		"plan and file":        {event1, []string{"--plan", "--file", "-"}, "--plan does not go with it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, c.stdin, append(c.args, "--nats-url", "nats://127.0.0.1:1")...)
			want(t, r, app.ExitUsage, c.want)
			if r.Out != "" || strings.Contains(r.Err, "hunter2") {
				t.Errorf("out %q, messages %q", r.Out, r.Err)
			}
		})
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	r := run(t, `{"directoryObject":"CN=x","mailboxParameters":{"alias":"a"}}`, "mailbox.create", "--data", "-", "--dry-run", "--json", "--no-check",
		"--set", "mailboxParameters.alias=a,b=c", "--set", "list.0=1", "--set", `list.1="1"`, "--set", "/list/2/deep=true", "--set", "text=")
	want(t, r, 0, "")
	var p struct{ Body any }
	if err := json.Unmarshal([]byte(r.Out), &p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{
		"directoryObject": "CN=x", "mailboxParameters": map[string]any{"alias": "a,b=c"},
		"list": []any{1.0, "1", map[string]any{"deep": true}}, "text": "",
	}, p.Body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSecretsAreRefusedOnTheCommandLine: whatever form they have, and only they.
func TestSecretsAreRefusedOnTheCommandLine(t *testing.T) {
	t.Parallel()
	const user = `{"container":"LDAP://OU=x,DC=contoso,DC=com","userPrincipalName":"a@contoso.com","preferredDomainController":"AD01.contoso.com","isAdmin":false}`
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"set":            {[]string{"--data", "-", "--set", "newPassword=hunter2"}, "--set newPassword is a secret"},
		"set a number":   {[]string{"--data", "-", "--set", "newPassword=22222222"}, "--set newPassword is a secret"},
		"set by pointer": {[]string{"--data", "-", "--set", "/newPassword=hunter2"}, "--set /newPassword is a secret"},
		"set a property": {[]string{"--data", "-", "--set", "properties.0.name=unicodePwd", "--set", "properties.0.values.0=hunter2"}, "--set properties.0.values.0 is a secret"},
		"set an object":  {[]string{"--data", "-", "--set", `properties.0={"name":"unicodePwd","values":["hunter2"]}`}, "--set properties.0 is a secret"},
		"set a list":     {[]string{"--data", "-", "--set", `properties=[{"name":"unicodePwd","values":["hunter2"]}]`}, "--set properties is a secret"},
		"of no schema":   {[]string{"--no-check", "--set", "a.userPassword=hunter2"}, "--set a.userPassword is a secret"},
		"data":           {[]string{"--data", strings.Replace(user, "{", `{"newPassword":"hunter2",`, 1)}, "--data holds a secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, user, append([]string{"directory.businessuser.create", "--dry-run"}, c.args...)...)
			want(t, r, app.ExitUsage, c.want)
			if strings.Contains(r.Err, "hunter2") || !strings.Contains(r.Err, "--data @FILE") {
				t.Errorf("the secret, or no remedy: %s", r.Err)
			}
		})
	}
	for name, args := range map[string][]string{
		"piped":            {"--data", "-"},
		"beside":           {"--data", "-", "--set", "sn=hunter2"},
		"another property": {"--data", "-", "--set", "properties.0.name=street", "--set", "properties.0.values.0=hunter2"},
		"set, sealed":      {"--data", "-", "--set", "newPassword=-----BEGIN AGE ENCRYPTED FILE-----\nYWdl"},
		"data, sealed":     {"--data", strings.Replace(user, "{", `{"newPassword":"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl",`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin := strings.Replace(user, "{", `{"newPassword":"hunter2",`, 1)
			want(t, run(t, stdin, append([]string{"directory.businessuser.create", "--dry-run"}, args...)...), 0, "")
		})
	}
}

// TestAPlanIsAnOperationOfItsOwn: the command may have the same id before and after.
func TestAPlanIsAnOperationOfItsOwn(t *testing.T) {
	t.Parallel()
	operations := map[string]bool{}
	for _, args := range [][]string{{"--plan"}, {}} {
		r := run(t, change, append([]string{"delegation.change", "--data", "-", "--id", "1", "--source", "/hr", "--dry-run", "--json"}, args...)...)
		want(t, r, 0, "")
		var p struct{ OperationID string }
		if err := json.Unmarshal([]byte(r.Out), &p); err != nil {
			t.Fatal(err)
		}
		operations[p.OperationID] = true
	}
	if !operations[event.PlanID("contoso", "/hr", "1")] || !operations[event.OperationID("contoso", "/hr", "1")] {
		t.Errorf("%v", operations)
	}
}

func TestATenantIsNeededOnce(t *testing.T) {
	t.Parallel()
	want(t, runBare(t, "", "inventory.sync", "--dry-run"), app.ExitUsage, "the command names no tenant")
	e := `{"specversion":"1.0","id":"1","source":"/hr","tenantid":"fabrikam","type":"io.mailwright.inventory.sync.v1","data":{}}`
	if r := runBare(t, e, "--file", "-", "--dry-run"); r.Code != 0 || !strings.Contains(r.Out, "mailwright.cmd.fabrikam.inventory.all") {
		t.Errorf("%+v", r)
	}
	want(t, run(t, e, "--file", "-", "--dry-run"), app.ExitUsage, `tenantid is "fabrikam", but the command is for tenant "contoso"`)
	dir := t.TempDir() // of a system with one tenant
	if err := os.WriteFile(filepath.Join(dir, "endpoints.json"), []byte(`{"tenant":"adatum"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runBare(t, "", "inventory.sync", "--dry-run", "--state", dir); r.Code != 0 || !strings.Contains(r.Out, "mailwright.cmd.adatum.inventory.all") {
		t.Errorf("%+v", r)
	}
}

func TestCancelGoesToItsOperationsDomain(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	want(t, run(t, "", "operation.cancel", "--domain", "directory", "--set", "operationId="+operationID, "--nats-url", env.URL), 0, "")
	stored, err := stream(t, env).GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if address, _ := topology.ParseCommandSubject(stored.Subject); address.Domain != event.DomainDirectory || address.Key != operationID {
		t.Errorf("stored on %s", stored.Subject)
	}
}

func TestNotBeforeAndPlan(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	const at = "2026-11-21T09:00:00Z"
	want(t, run(t, change, "delegation.change", "--data", "-", "--not-before", at, "--plan", "--nats-url", env.URL), 0, "")
	want(t, run(t, change, "delegation.change", "--data", "-", "--not-before", "2h", "--mode", "structured", "--nats-url", env.URL), 0, "")
	var got [2]event.Event
	for i := range got {
		stored, err := stream(t, env).GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if got[i], err = event.Decode(stored.Header, stored.Data); err != nil {
			t.Fatal(err)
		}
	}
	if event.Extension(got[0], event.AttrNotBefore) != at || event.Extension(got[0], event.AttrDryRun) != "true" || event.Extension(got[1], event.AttrDryRun) != "" {
		t.Errorf("%v, %v", got[0].Extensions(), got[1].Extensions())
	}
	later, err := time.Parse(time.RFC3339, event.Extension(got[1], event.AttrNotBefore))
	if wait := time.Until(later); err != nil || wait < time.Hour || wait > 2*time.Hour {
		t.Errorf("in %v, %v", wait, err)
	}
}

func TestFileForms(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	one := func(id string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"/hr","type":"io.mailwright.inventory.sync.v1","data":{"tenant":"Contoso"}}`
	}
	for _, file := range []string{one("1"), "[" + one("2") + "," + one("3") + "]", one("4") + "\n" + one("5") + "\n" + one("4")} {
		want(t, run(t, file, "--file", "-", "--nats-url", env.URL), 0, "")
	}
	info, err := stream(t, env).Info(t.Context())
	if err != nil || info.State.Msgs != 6 { // the services find out that one is repeated
		t.Errorf("%d commands stored, %v; want 6", info.State.Msgs, err)
	}
}

// outcomes carries delegation.change out as the name of the mailbox says.
func outcomes(_ context.Context, r *operation.Attempt) (operation.Reply, error) {
	var d event.DelegationChangeData
	if err := r.Decode(&d); err != nil {
		return operation.Reply{}, err
	}
	switch name, _, _ := strings.Cut(d.Mailbox, "@"); {
	case name == "late" && r.Operation.Attempt < 3:
		return operation.Reply{}, failure.New(failure.Unavailable, "not at home")
	case name == "gone":
		return operation.Reply{}, &failure.Error{Kind: failure.Refused, Vendor: "exchangeonline", Code: "HTTP 403", Text: "not allowed"}
	case name == "wrong":
		return operation.Reply{}, operation.Reject("/mailbox", "is no address")
	}
	return operation.Reply{Type: event.TypeDelegationChanged, Data: event.DelegationChangedData{
		Operation: r.Operation, Mailbox: d.Mailbox, Delegates: d.Add, Added: d.Add, Removed: []string{}, Changed: true,
	}}, nil
}

func serving(t *testing.T) *apptest.Env {
	t.Helper()
	env := apptest.Start(t)
	env.Serve(t, event.DomainDelegation, map[string]operation.Handler{event.TypeDelegationChange: {Perform: outcomes}})
	return env
}

func changeOf(mailbox string) string {
	return `{"specversion":"1.0","id":"` + mailbox + `","source":"/hr","type":"io.mailwright.delegation.change.v1","subject":"Mailbox ` + mailbox +
		`","data":{"mailbox":"` + mailbox + `@contoso.com","add":["dana@contoso.com"]}}`
}

func TestWait(t *testing.T) {
	t.Parallel()
	env := serving(t)
	for name, c := range map[string]struct {
		mailbox string
		code    int
	}{
		"succeeded": {"alex", 0},
		"retried":   {"late", 0},
		"failed":    {"gone", app.ExitFailure},
		"rejected":  {"wrong", app.ExitFailure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, changeOf(c.mailbox), "--file", "-", "--wait", "--nats-url", env.URL)
			want(t, r, c.code, "")
			apptest.Golden(t, "wait-"+name+".txt", "# standard output\n"+r.Out+"# standard error\n"+r.Err)
		})
	}
}

func TestWaitForMany(t *testing.T) {
	t.Parallel()
	env := serving(t)
	var file strings.Builder
	for _, name := range []string{"a", "late", "b", "gone"} {
		file.WriteString(changeOf(name) + "\n")
	}
	r := run(t, file.String(), "--file", "-", "--wait", "--json", "--nats-url", env.URL)
	want(t, r, app.ExitFailure, "mailwright: 3 succeeded, 1 failed\n")
	types := map[string]int{}
	for line := range strings.Lines(r.Out) {
		e, err := event.Decode(nil, []byte(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		types[e.Type()]++
	}
	if diff := cmp.Diff(map[string]int{event.TypeDelegationChanged: 3, event.FailedType(event.DomainDelegation): 1}, types); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSendAgainTellsTheSameOutcome(t *testing.T) {
	t.Parallel()
	env := serving(t)
	for range 2 {
		r := run(t, changeOf("alex"), "--file", "-", "--wait", "--nats-url", env.URL)
		want(t, r, 0, "delegation.change published")
		if strings.Count(r.Out, "succeeded") != 1 {
			t.Errorf("%s", r.Out)
		}
	}
}

func TestConflictEndsInDead(t *testing.T) {
	t.Parallel()
	env := serving(t)
	want(t, run(t, changeOf("alex"), "--file", "-", "--wait", "--nats-url", env.URL), 0, "")
	other := strings.Replace(changeOf("alex"), "dana@", "eve@", 1)
	r := run(t, other, "--file", "-", "--wait", "--nats-url", env.URL)
	want(t, r, app.ExitFailure, "1 given up ('mailwright dead ls' has the reason)")
	if r.Out != "" {
		t.Errorf("the other command's outcome shows:\n%s", r.Out)
	}
	apptest.Golden(t, "wait-conflict.txt", r.Err)
}

func TestNoOutcomeInTime(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t) // nobody serves
	r := run(t, changeOf("alex"), "--file", "-", "--wait", "--timeout", "300ms", "--nats-url", env.URL)
	want(t, r, app.ExitNoOutcome, "no outcome yet (given up after 300ms): 1 without an outcome yet")
}

func TestServersThatAreNotThere(t *testing.T) {
	t.Parallel()
	r := run(t, changeOf("alex"), "--file", "-", "--timeout", "300ms", "--nats-url", "nats://me:hunter2@127.0.0.1:1")
	want(t, r, app.ExitFailure, "NATS does not answer at nats://127.0.0.1:1")
	if strings.Contains(r.Err, "hunter2") {
		t.Errorf("the password shows: %s", r.Err)
	}
	env := apptest.StartNATS(t) // without streams
	r = run(t, changeOf("alex"), "--file", "-", "--nats-url", env.URL)
	want(t, r, app.ExitFailure, "'mailwright dev'")
}

func stream(t *testing.T, env *apptest.Env) jetstream.Stream {
	t.Helper()
	st, err := env.JS.Stream(t.Context(), topology.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	return st
}
