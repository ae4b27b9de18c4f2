package status_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/status"
)

// away is where no server is.
const away = "127.0.0.1:1"

func call(env *apptest.Env, args ...string) apptest.Call {
	args = append([]string{"--nats-url", env.URL, "--database-url", "postgres://me:hunter2@" + away + "/x"}, args...)
	return apptest.Call{Name: "status", Command: &status.Command{}, Args: args}
}

func run(t *testing.T, env *apptest.Env, args ...string) apptest.Result {
	t.Helper()
	return apptest.Run(t.Context(), t, call(env, args...))
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "status", &status.Command{}))
}

func TestNothingIsThereYet(t *testing.T) {
	t.Parallel()
	r := run(t, apptest.StartNATS(t))
	if r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	apptest.Golden(t, "empty.txt", r.Out)
}

func TestNATSAway(t *testing.T) {
	t.Parallel()
	r := run(t, &apptest.Env{URL: "nats://" + away})
	if r.Code != app.ExitFailure || !strings.Contains(r.Err, "NATS does not answer") {
		t.Errorf("%+v", r)
	}
}

// inventory has a service that holds three commands of a key until the test ends: it works on the
// first.
func inventory(t *testing.T) *apptest.Env {
	t.Helper()
	env := apptest.Start(t)
	for p := range apptest.Partitions { // the engine makes them one after another
		if _, err := bus.EnsureConsumer(t.Context(), env.JS, topology.StreamCommands, bus.CommandConsumer(event.DomainInventory, 0, p)); err != nil {
			t.Fatal(err)
		}
	}
	started := make(chan struct{})
	var once sync.Once
	ended := t.Context().Done()
	env.Serve(t, event.DomainInventory, map[string]operation.Handler{event.TypeInventorySync: {Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
		once.Do(func() { close(started) })
		<-ended
		return operation.Reply{}, operation.Reject("", "the test is over")
	}}}, func(c *operation.Config) { c.ParkAfter = time.Hour })
	for i := range 3 {
		e, err := event.New(fmt.Sprint(i), "/test", event.TypeInventorySync, event.InventorySyncData{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Send(t.Context(), env.JS, client.Command{Tenant: "contoso", Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	<-started
	for out := 0; out < 3 && t.Context().Err() == nil; {
		out = 0
		for p := range apptest.Partitions {
			c, err := env.JS.Consumer(t.Context(), topology.StreamCommands, bus.CommandConsumer(event.DomainInventory, 0, p).Durable)
			if err != nil {
				t.Fatal(err)
			}
			out += c.CachedInfo().NumAckPending
		}
	}
	return env
}

func TestCommandsAndStreams(t *testing.T) {
	t.Parallel()
	env := inventory(t)
	r := run(t, env, "--json")
	var got status.Report
	if err := json.Unmarshal([]byte(r.Out), &got); err != nil || r.Code != 0 {
		t.Fatalf("%v: %+v", err, r)
	}
	want := []status.Commands{{Domain: event.DomainDirectory}, {Domain: event.DomainMailbox}, {Domain: event.DomainDelegation},
		{Domain: event.DomainInventory, Consumers: apptest.Partitions, InFlight: 3}}
	if diff := cmp.Diff(want, got.Commands); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	stream := got.Streams[0]
	if stream.Name != topology.StreamCommands || !stream.Exists || stream.Messages != 3 || stream.LastSequence != 3 || stream.Bytes == 0 || time.Since(*stream.LastTime) > time.Minute {
		t.Errorf("%+v", stream)
	}
	if got.Postgres.Available || got.Operations != nil || strings.Contains(r.Out, "hunter2") || !strings.Contains(got.Postgres.Problem, away) {
		t.Errorf("Postgres is away: %s", r.Out)
	}
}

// countdown calls end at the n-th write.
type countdown struct {
	n   int
	end func()
}

func (c *countdown) Write(p []byte) (int, error) {
	if c.n--; c.n == 0 {
		c.end()
	}
	return len(p), nil
}

func TestWatchShowsItAnewAndEndsWithoutAnError(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	c := call(apptest.Start(t), "--watch")
	c.Out = &countdown{n: 2, end: end}
	r := apptest.Run(ctx, t, c)
	if shown := strings.Count(r.Out, "OPERATIONS"); r.Code != 0 || shown != 2 {
		t.Errorf("shown %d times, want 2: %+v", shown, r)
	}
}

func TestProjections(t *testing.T) {
	t.Parallel()
	env := inventory(t)
	url := apptest.Postgres(t)
	r := run(t, env, "--database-url", url)
	if r.Code != 0 || !strings.Contains(r.Out, "Postgres cannot tell: no projections yet") {
		t.Fatalf("before the migrations: %+v", r)
	}
	if err := migrations.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	stream, err := env.JS.Stream(t.Context(), topology.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO mailwright.operations (operation_id, domain, state, received_at, updated_at) VALUES ('3', 'delegation', 'waiting', now(), now())`, nil},
		{`INSERT INTO mailwright.operation_outcomes (hour, domain, state, operations, oldest_received_at, first_at, last_at, last_sequence) VALUES
			(now(), 'mailbox', 'succeeded', 2, now(), now(), now(), 1)`, nil},
		{`INSERT INTO mailwright.checkpoints (projection, stream, incarnation, sequence) VALUES ('behind', $1, $2, 1), ('there', $1, $2, 3), ('foreign', $1, now() - interval '1 day', 3)`,
			[]any{topology.StreamCommands, stream.CachedInfo().Created}},
	} {
		if _, err := conn.Exec(t.Context(), statement.sql, statement.args...); err != nil {
			t.Fatal(err)
		}
	}

	r = run(t, env, "--database-url", url, "--json")
	var got status.Report
	if err := json.Unmarshal([]byte(r.Out), &got); err != nil || r.Code != 0 {
		t.Fatalf("%v: %+v", err, r)
	}
	if n := got.Operations[event.DomainMailbox][event.StateSucceeded]; n != 2 || got.Operations[event.DomainDelegation][event.StateWaiting] != 1 || len(got.Operations[event.DomainDirectory]) != 8 {
		t.Errorf("operations %v", got.Operations)
	}
	want := []status.Projection{
		{Name: "behind", Stream: topology.StreamCommands, Sequence: 1, LastSequence: 3, Lag: 2},
		{Name: "foreign", Stream: topology.StreamCommands, Sequence: 3, LastSequence: 3, Lag: 3, Foreign: true},
		{Name: "there", Stream: topology.StreamCommands, Sequence: 3, LastSequence: 3, Lag: 0},
	}
	if diff := cmp.Diff(want, got.Projections, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("projections (-want +got):\n%s", diff)
	}
	apptest.Golden(t, "full.txt", run(t, env, "--database-url", url).Out)
}
