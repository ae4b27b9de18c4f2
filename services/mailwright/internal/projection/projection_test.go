package projection_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/internal/postgres"
	projections "github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/projection"
)

// start gives a NATS server with one event in EVENTS, a database whose projections have seen it,
// and both addresses as flags.
func start(t *testing.T) (*apptest.Env, *pgxpool.Pool, []string) {
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
	env := apptest.Start(t)
	publish(t, env)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, p := range projector.ByStream(projections.List()) {
		running.Go(func() {
			projector.New(p, db, env.JS, slog.New(slog.DiscardHandler), projector.DefaultTuning).Run(ctx)
		})
	}
	for seen := 0; seen == 0; time.Sleep(10 * time.Millisecond) {
		if err := db.QueryRow(t.Context(), "SELECT count(*) FROM mailwright.mailboxes").Scan(&seen); err != nil {
			t.Fatal(err)
		}
	}
	for waiting := 1; waiting > 0; time.Sleep(10 * time.Millisecond) { // the others too
		if err := db.QueryRow(t.Context(), "SELECT count(*) FROM mailwright.checkpoints WHERE projection IN ('operations', 'mailboxes') AND sequence = 0").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	running.Wait()
	return env, db, []string{"--nats-url", env.URL, "--database-url", url}
}

func publish(t *testing.T, env *apptest.Env) {
	t.Helper()
	raw, err := schemas.FS.ReadFile("examples/" + event.TypeMailboxCreated + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var e event.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	if _, err := env.JS.Publish(t.Context(), topology.EventSubject("contoso", event.DomainMailbox, event.Extension(e, event.AttrOperationID)), raw); err != nil {
		t.Fatal(err)
	}
}

func call(t *testing.T, where []string, words ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, apptest.Call{Name: "projection", Command: &projection.Command{}, Args: append(words, where...)})
}

func TestVerifyAndRebuild(t *testing.T) {
	t.Parallel()
	_, db, where := start(t)
	r := call(t, where, "verify")
	if r.Code != 0 || !strings.Contains(r.Out, "tables compared, 0 differences") {
		t.Fatalf("%+v", r)
	}
	if _, err := db.Exec(t.Context(), "UPDATE mailwright.mailboxes SET alias = 'by hand'"); err != nil {
		t.Fatal(err)
	}
	r = call(t, where, "verify")
	const named = `mailboxes object_key="cn=john smith,cn=users,dc=example,dc=com" tenant="contoso": changed: alias is "by hand", replayed "jsmith"`
	if r.Code != app.ExitDifferent || !strings.Contains(r.Out, named) {
		t.Errorf("%+v", r)
	}
	var report replay.Report
	if r = call(t, where, "verify", "--json"); json.Unmarshal([]byte(r.Out), &report) != nil || report.Differences() != 1 || r.Code != app.ExitDifferent {
		t.Errorf("%+v", r)
	}
	r = call(t, where, "rebuild")
	if r.Code != 0 || !strings.Contains(r.Out, named) || !strings.Contains(r.Out, "the live ones now") {
		t.Errorf("%+v", r)
	}
	if r = call(t, where, "verify"); r.Code != 0 {
		t.Errorf("%+v", r)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	env, _, where := start(t)
	standing := func() (list []projection.Position, r apptest.Result) {
		r = call(t, where, "status", "--over", "10ms", "--json")
		for line := range strings.Lines(r.Out) {
			var one projection.Position
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatal(err)
			}
			list = append(list, one)
		}
		if len(list) != len(projections.List()) {
			t.Fatalf("%+v", r)
		}
		return list, r
	}
	list, r := standing()
	for _, one := range list {
		if one.Lag != 0 || one.Stopped != "" || r.Code != 0 {
			t.Errorf("%+v", one)
		}
	}
	publish(t, env) // nobody follows now
	list, _ = standing()
	for _, one := range list {
		if follows := one.Projection == "operations" || one.Projection == "mailboxes"; (one.Lag == 1) != follows || (one.LagSeconds > 0) != follows {
			t.Errorf("%+v", one)
		}
	}
	if err := env.JS.DeleteStream(t.Context(), topology.StreamEvents); err != nil {
		t.Fatal(err)
	}
	if err := topology.Ensure(t.Context(), env.JS, topology.Config{Partitions: apptest.Partitions}); err != nil {
		t.Fatal(err)
	}
	if list, r = standing(); r.Code != app.ExitFailure || !strings.Contains(list[1].Stopped, "was made again") {
		t.Errorf("%+v", r)
	}
	if r := call(t, where, "status", "--over", "10ms"); !strings.Contains(r.Out, "operations stopped: stream EVENTS was made again") {
		t.Errorf("%+v", r)
	}
}

func TestHelp(t *testing.T) {
	for _, below := range []string{"status", "verify", "rebuild"} {
		apptest.Golden(t, "help-"+below+".txt", apptest.Help(t, "projection", &projection.Command{}, below))
	}
}
