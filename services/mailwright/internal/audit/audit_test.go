package audit_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	acts "github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/internal/testprograms"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/audit"
	"github.com/mailwright/mailwright/services/mailwright/internal/bulk"
	"github.com/mailwright/mailwright/services/mailwright/internal/cancel"
	"github.com/mailwright/mailwright/services/mailwright/internal/dead"
	"github.com/mailwright/mailwright/services/mailwright/internal/inventory"
	rebuild "github.com/mailwright/mailwright/services/mailwright/internal/projection"
	"github.com/mailwright/mailwright/services/mailwright/internal/secrets"
	"github.com/mailwright/mailwright/services/mailwright/internal/send"
	"github.com/mailwright/mailwright/services/mailwright/internal/streams"
)

const timeout = 60 * time.Second

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "audit", &audit.Command{}))
}

// list is what `mailwright audit --json` prints.
func list(t *testing.T, url string, args ...string) (entries []acts.Entry) {
	t.Helper()
	r := apptest.Run(t.Context(), t, apptest.Call{Name: "audit", Command: &audit.Command{}, Args: append(args, "--json", "--nats-url", url)})
	if r.Code != 0 {
		t.Fatalf("code %d: %s", r.Code, r.Err)
	}
	for line := range strings.Lines(r.Out) {
		var e acts.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// publishLetter publishes a command, and a dead letter about it.
func publishLetter(t *testing.T, env *apptest.Env, id string) {
	t.Helper()
	m := &nats.Msg{
		Subject: topology.CommandSubject("contoso", event.DomainDelegation, "alex"), Data: []byte(`{"mailbox":"alex@contoso.com","add":["dana@contoso.com"]}`),
		Header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/hr"}, "ce-type": {event.TypeDelegationChange}},
	}
	ack, err := env.JS.PublishMsg(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := json.Marshal(event.DeadLetter{
		Reason: "acked-without-outcome", Stream: topology.StreamCommands, Sequence: ack.Sequence, Subject: m.Subject, Source: "/hr", ID: id,
		Type: event.TypeDelegationChange, OperationID: event.OperationID("contoso", "/hr", id), Tenant: "contoso", Time: time.Now(), Size: len(m.Data),
	})
	if err != nil {
		t.Fatal(err)
	}
	subject := topology.DeadSubject("contoso", event.DomainDelegation, event.OperationID("contoso", "/hr", id))
	if _, err := env.JS.Publish(t.Context(), subject, letter); err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEveryActOfTheCommandLineIsRecorded calls each command that changes the system, and reads what
// AUDIT tells. One that only looks leaves no trace.
func TestEveryActOfTheCommandLineIsRecorded(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	for _, id := range []string{"1", "2", "3"} {
		publishLetter(t, env, id)
	}
	database := apptest.Postgres(t)
	if err := migrations.Migrate(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	apply := apptest.Call{Name: "streams", Command: &streams.Command{}, Args: []string{"apply", "--partitions", "2", "--nats-url", env.URL}}
	if r := apptest.Run(t.Context(), t, apply); r.Code != 0 {
		t.Fatal(r.Err)
	}
	if err := env.JS.DeleteStream(t.Context(), topology.StreamDrift); err != nil {
		t.Fatal(err)
	}
	operation := strings.Repeat("a", 26)
	rows := file(t, "rows.csv", "mailbox\nalex@contoso.com\ndana@contoso.com\n")
	mapping := file(t, "map.yaml", "type: delegation.read\ntenant: contoso\nsource: /import\nidentify: [mailbox]\ndata:\n  mailbox: '{{ .mailbox }}'\n")
	for _, c := range []struct {
		name    string
		command any
		args    []string
		code    int
		want    acts.Entry
	}{
		{"streams", &streams.Command{}, []string{"apply", "--partitions", "2", "--reason", "CHG-1"}, 0, acts.Entry{
			NATSUser: "streams", Act: acts.Act{Action: acts.ApplyStreams, Reason: "CHG-1", Targets: []string{"stream DRIFT"}, Count: 1}, Result: "done", Done: 1,
		}},
		{"streams", &streams.Command{}, []string{"apply", "--partitions", "2"}, 0, acts.Entry{}},
		{"send", &send.Command{}, []string{"mailbox.create", "--tenant", "contoso", "--id", "9", "--source", "/me", "--set", "directoryObject=CN=x", "--set", "mailboxParameters.alias=alex"}, 0, acts.Entry{
			Act: acts.Act{Action: acts.Send, Tenants: []string{"contoso"}, Operations: []string{event.OperationID("contoso", "/me", "9")}, Count: 1}, Result: "done", Done: 1,
		}},
		{"send", &send.Command{}, []string{"inventory.sync", "--tenant", "contoso", "--dry-run"}, 0, acts.Entry{}},
		{"cancel", &cancel.Command{}, []string{operation, "--tenant", "contoso", "--domain", "mailbox", "--no-wait", "--reason", "CHG-2"}, 0, acts.Entry{
			Act: acts.Act{Action: acts.Cancel, Reason: "CHG-2", Tenants: []string{"contoso"}, Operations: []string{operation}, Count: 1}, Result: "done", Done: 1,
		}},
		{"dead", &dead.Command{}, []string{"ls"}, 0, acts.Entry{}},
		{"dead", &dead.Command{}, []string{"discard", "1", "--reason", "CHG-3"}, 0, acts.Entry{
			Act:    acts.Act{Action: acts.DeadDiscard, Reason: "CHG-3", Tenants: []string{"contoso"}, Operations: []string{event.OperationID("contoso", "/hr", "1")}, DeadLetters: []uint64{1}, Count: 1},
			Result: "done", Done: 1,
		}},
		{"dead", &dead.Command{}, []string{"replay", "--all", "--yes", "--force", "--reason", "CHG-4"}, 0, acts.Entry{
			Act: acts.Act{
				Action: acts.DeadReplay, Reason: "CHG-4", Tenants: []string{"contoso"}, DeadLetters: []uint64{2, 3}, Count: 2, Options: []string{"force", "all"},
				Operations: []string{event.OperationID("contoso", "/hr", "2"), event.OperationID("contoso", "/hr", "3")},
			}, Result: "done", Done: 2,
		}},
		{"secrets", &secrets.Command{}, []string{"publish", "--tenant", "contoso", "--remove"}, 0, acts.Entry{
			Act: acts.Act{Action: acts.PublishRecipient, Tenants: []string{"contoso"}, Options: []string{"remove"}}, Result: "done",
		}},
		{"import", &bulk.Command{}, []string{rows, "--map", mapping, "--no-wait", "--reason", "CHG-5"}, 0, acts.Entry{
			Act: acts.Act{Action: acts.Import, Reason: "CHG-5", Tenants: []string{"contoso"}, Count: 2}, Result: "done", Done: 2,
		}},
		{"inventory", &inventory.Command{}, []string{"sync", "--tenant", "contoso", "--id", "i", "--timeout", "1s"}, app.ExitNoOutcome, acts.Entry{
			Act: acts.Act{Action: acts.Send, Tenants: []string{"contoso"}, Count: 1}, Result: "done", Done: 1,
		}},
		{"projection", &rebuild.Command{}, []string{"verify", "--database-url", database}, 0, acts.Entry{}},
		{"projection", &rebuild.Command{}, []string{"rebuild", "--accept-loss", "--reason", "CHG-6", "--database-url", database}, 0, acts.Entry{
			Act: acts.Act{Action: acts.RebuildRows, Reason: "CHG-6", Count: 1, Options: []string{"accept-loss"}}, Result: "done", Done: 1,
		}},
	} {
		before := len(list(t, env.URL))
		r := apptest.Run(t.Context(), t, apptest.Call{Name: c.name, Command: c.command, Args: append(c.args, "--nats-url", env.URL)})
		if r.Code != c.code {
			t.Fatalf("%s %v: code %d\n%s%s", c.name, c.args, r.Code, r.Out, r.Err)
		}
		entries := list(t, env.URL)[before:]
		if c.want.Action == "" {
			if len(entries) > 0 {
				t.Errorf("%s %v is told: %+v", c.name, c.args, entries)
			}
			continue
		}
		if len(entries) != 1 {
			t.Errorf("%s %v: %d entries", c.name, c.args, len(entries))
			continue
		}
		checkEntry(t, c.want, entries[0])
	}
	if got := list(t, env.URL, "--action", "dead.discard,dead.replay", "--since", "1h", "--who", "operator"); len(got) != 2 {
		t.Errorf("filtered: %+v", got)
	}
	if got := list(t, env.URL, "--operation", event.OperationID("contoso", "/hr", "1")[:6], "--result", "done"); len(got) != 1 || got[0].Action != acts.DeadDiscard {
		t.Errorf("of an operation: %+v", got)
	}
	if got := list(t, env.URL, "--since", "2100-01-01T00:00:00Z"); len(got) != 0 {
		t.Errorf("of the future: %+v", got)
	}
}

// checkEntry compares an entry with what is expected. Operations that the test does not know are
// compared by their number.
func checkEntry(t *testing.T, want, got acts.Entry) {
	t.Helper()
	if got.NATSUser != map[bool]string{true: "streams", false: "operator"}[want.NATSUser == "streams"] || got.AuthType != "user" || got.AuthID != app.Caller() || got.Source != "https://mailwright.io/mailwright" {
		t.Errorf("%s: by %s, %s %s, %s", want.Action, got.NATSUser, got.AuthType, got.AuthID, got.Source)
	}
	if got.IntendedAt.IsZero() || got.CompletedAt.Before(got.IntendedAt) {
		t.Errorf("%s: intended at %v, completed at %v", want.Action, got.IntendedAt, got.CompletedAt)
	}
	if len(want.Operations) == 0 && slices.Contains([]string{acts.Import, acts.Send}, want.Action) {
		if len(got.Operations) != want.Count {
			t.Errorf("%s: operations %v", want.Action, got.Operations)
		}
		got.Operations = nil
	}
	got.ConnectedAs = ""
	for _, e := range []*acts.Entry{&want, &got} {
		e.ID, e.NATSUser, e.AuthType, e.AuthID, e.Source, e.IntendedAt, e.CompletedAt = "", "", "", "", "", time.Time{}, time.Time{}
	}
	w, err1 := json.Marshal(want)
	g, err2 := json.Marshal(got)
	if err1 != nil || err2 != nil || string(w) != string(g) {
		t.Errorf("want %s\ngot  %s", w, g)
	}
}

// TestAKilledProgramLeavesItsIntent: the program is killed between two dead letters of a replay.
// The act is unknown in the list and in the view, beside one that ended.
func TestAKilledProgramLeavesItsIntent(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	publishLetter(t, env, "1")
	publishLetter(t, env, "2")
	bin, remove, err := testprograms.Dir("mailwright")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	const secondNever = "0.0001"
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "mailwright"), "dead", "replay", "1", "2", "--rate", secondNever, "--reason", "CHG-7", "--nats-url", env.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the first letter is replayed", func() bool {
		stream, err := env.JS.Stream(t.Context(), topology.StreamDead)
		return err == nil && stream.CachedInfo().State.Msgs == 1
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if r := apptest.Run(t.Context(), t, apptest.Call{Name: "dead", Command: &dead.Command{}, Args: []string{"discard", "2", "--reason", "CHG-8", "--nats-url", env.URL}}); r.Code != 0 {
		t.Fatal(r.Err)
	}
	r := apptest.Run(t.Context(), t, apptest.Call{Name: "audit", Command: &audit.Command{}, Args: []string{"--nats-url", env.URL}})
	apptest.Golden(t, "killed.txt", columns.ReplaceAllString(r.Out+r.Err, "  "))
	awaitView(t, env, `{dead.replay,unknown,CHG-7,2,NULL,dead.discard,done,CHG-8,1,1}`)
}

// columns are the spaces between columns, whose widths depend on who runs the test.
var columns = regexp.MustCompile(`  +`)

// awaitView waits until the view has rows, joined.
func awaitView(t *testing.T, env *apptest.Env, want string) {
	t.Helper()
	url := apptest.Postgres(t)
	if err := migrations.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), url, replay.Connections())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		projector.New([]projector.Projection{projection.Audit{}}, db, env.JS, slog.New(slog.DiscardHandler), projector.DefaultTuning).Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-done })
	var got string
	await(t, "rows of audit", func() bool {
		const rows = `SELECT coalesce(array_agg(cell ORDER BY intended_at, n), '{}')::text FROM mailwright_views.audit,
			unnest(ARRAY[action, result, reason, intended::text, done::text]) WITH ORDINALITY AS cells (cell, n)`
		if err := db.QueryRow(t.Context(), rows).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got == want
	})
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func TestWithoutTheStreamNobodyActs(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	publishLetter(t, env, "1")
	if err := env.JS.DeleteStream(t.Context(), topology.StreamAudit); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"discard", "1", "--reason", "CHG-1"}, {"replay", "1"}} {
		r := apptest.Run(t.Context(), t, apptest.Call{Name: "dead", Command: &dead.Command{}, Args: append(args, "--nats-url", env.URL)})
		if r.Code != app.ExitFailure || !strings.Contains(r.Err, "nothing was done, since it could not be written to AUDIT") {
			t.Errorf("%v: code %d: %s", args, r.Code, r.Err)
		}
	}
	stream, err := env.JS.Stream(t.Context(), topology.StreamDead)
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("the dead letter is gone, or %v", err)
	}
	r := apptest.Run(t.Context(), t, apptest.Call{Name: "audit", Command: &audit.Command{}, Args: []string{"--nats-url", env.URL}})
	if r.Code != app.ExitFailure || !strings.Contains(r.Err, "stream AUDIT") {
		t.Errorf("code %d: %s", r.Code, r.Err)
	}
}
