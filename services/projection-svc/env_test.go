package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// waitTimeout is how long a test waits for a result. It is long, since suites run in parallel on
// small machines.
const waitTimeout = 90 * time.Second

// server is the package's Postgres; each test has a database of it, copied from a migrated
// template.
var server *embedded.Postgres

func TestMain(m *testing.M) { os.Exit(withServer(m)) }

func withServer(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mw-pg-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		server, err = embedded.StartPostgres(context.Background(), embedded.PostgresConfig{
			Dir: dir, Volatile: true, Database: "template", Settings: map[string]string{"max_connections": "400"}})
	}
	if err == nil {
		defer func() { _ = server.Stop() }()
		err = migrations.Migrate(context.Background(), server.URL())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

var quick = projector.Tuning{
	Window: 10 * time.Millisecond, MaxBatch: 500, MaxBytes: 2 << 20, Idle: 2200 * time.Millisecond,
	Standby: 50 * time.Millisecond, Halted: 50 * time.Millisecond,
}

// env is a NATS server with our streams, and a database.
type env struct {
	*testing.T
	dir  string
	nats *embedded.NATS
	nc   *nats.Conn
	js   jetstream.JetStream
	via  jetstream.JetStream // what projections read by
	url  string
	db   *pgxpool.Pool
}

func newEnv(t *testing.T) *env {
	t.Helper()
	b := &env{T: t, dir: t.TempDir(), url: newDatabase(t)}
	b.db = newPool(t, b.url)
	var err error
	if b.nats, err = embedded.StartNATS(embedded.NATSConfig{StoreDir: b.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.nats.Shutdown() })
	if b.nc, err = bus.Connect(t.Context(), b.nats.URL(), t.Name(), quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.nc.Close)
	if b.js, err = jetstream.New(b.nc); err != nil {
		t.Fatal(err)
	}
	b.via = b.js
	if err := topology.Ensure(t.Context(), b.js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	quiet     = slog.New(slog.DiscardHandler)
	databases atomic.Int32
)

func newDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	conn, err := pgx.Connect(t.Context(), maintenanceURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template"); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(server.URL(), "/template?", "/"+name+"?", 1)
}

// maintenanceURL is of the database that every server has.
func maintenanceURL() string { return strings.Replace(server.URL(), "/template?", "/postgres?", 1) }

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, replay.Connections())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// follow runs every projection on a database until the function that it returns is called.
func (b *env) follow(db *pgxpool.Pool, tuning projector.Tuning) (running []*projector.Projector, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, each := range projector.ByStream(projection.List()) {
		p := projector.New(each, db, b.via, quiet, tuning)
		running = append(running, p)
		wg.Go(func() { p.Run(ctx) })
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	b.Cleanup(stop)
	return running, stop
}

func (b *env) publish(subject string, header nats.Header, data []byte) uint64 {
	b.Helper()
	ack, err := b.js.PublishMsg(b.Context(), &nats.Msg{Subject: subject, Header: header, Data: data})
	if err != nil {
		b.Fatalf("publish to %s: %v", subject, err)
	}
	return ack.Sequence
}

// result publishes an event of an operation.
func (b *env) result(e event.Event) uint64 {
	b.Helper()
	tenant := cmp.Or(event.Extension(e, event.AttrTenantID), "contoso")
	subject := topology.EventSubject(tenant, domainOf(e.Type()), event.Extension(e, event.AttrOperationID))
	return b.event(subject, e)
}

func (b *env) event(subject string, e event.Event) uint64 {
	b.Helper()
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		b.Fatal(err)
	}
	return b.publish(subject, header, body)
}

// example gives a type's example of the schemas.
func example(t testing.TB, eventType string) event.Event {
	t.Helper()
	raw, err := schemas.FS.ReadFile("examples/" + eventType + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var e event.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// of gives an event to another operation.
func of(e event.Event, source, id string) event.Event {
	e.SetExtension(event.AttrCommandSource, source)
	e.SetExtension(event.AttrCommandID, id)
	e.SetExtension(event.AttrOperationID, event.OperationID("contoso", source, id))
	return e
}

// with replaces members of an event's data.
func with(t testing.TB, e event.Event, members map[string]any) event.Event {
	t.Helper()
	var data map[string]any
	if err := json.Unmarshal(e.Data(), &data); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if value == nil {
			delete(data, name)
		} else {
			data[name] = value
		}
	}
	e = e.Clone()
	if err := e.SetData("application/json", data); err != nil {
		t.Fatal(err)
	}
	return e
}

// rows gives the result of a query as JSON, a line a row.
func rows(ctx context.Context, db *pgxpool.Pool, sql string, args ...any) (string, error) {
	found, err := db.Query(ctx, "SELECT to_jsonb(q)::text FROM ("+sql+") q", args...)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(found, pgx.RowTo[string])
	return strings.Join(lines, "\n"), err
}

// await waits until a query gives the rows wanted, each as JSON.
func (b *env) await(want, sql string, args ...any) {
	b.Helper()
	b.awaitIn(b.db, want, sql, args...)
}

func (b *env) awaitIn(db *pgxpool.Pool, want, sql string, args ...any) {
	b.Helper()
	var got string
	var err error
	for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got, err = rows(b.Context(), db, sql, args...); err == nil && got == want {
			return
		}
	}
	b.Fatalf("%s\ngot  %s\nwant %s\nerror %v", sql, got, want, err)
}

// caughtUp waits until every projection has seen all that its stream holds for it.
func (b *env) caughtUp(db *pgxpool.Pool) {
	b.Helper()
	for _, group := range projector.ByStream(projection.List()) {
		stream, err := b.js.Stream(b.Context(), group[0].Stream())
		if err != nil {
			b.Fatal(err)
		}
		last := uint64(0)
		for _, p := range group { // they are read together
			for _, subject := range append(p.Subjects(), map[bool][]string{true: {">"}}[len(p.Subjects()) == 0]...) {
				if m, err := stream.GetLastMsgForSubject(b.Context(), subject); err == nil {
					last = max(last, m.Sequence)
				}
			}
		}
		for _, p := range group {
			if last > 0 {
				b.awaitIn(db, fmt.Sprintf(`{"sequence": %d}`, last), "SELECT sequence FROM mailwright_views.projections WHERE projection = $1", p.Name())
			}
		}
	}
}

const tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'mailwright' AND tablename <> 'schema_version' AND tablename !~ '^operation_events_' ORDER BY 1"

func tableNames(ctx context.Context, t testing.TB, db *pgxpool.Pool) []string {
	t.Helper()
	found, err := db.Query(ctx, tables)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// dump gives all rows, without the database's own times.
func (b *env) dump(db *pgxpool.Pool) string {
	b.Helper()
	var all strings.Builder
	for _, name := range tableNames(b.Context(), b, db) {
		found, err := db.Query(b.Context(), "SELECT (to_jsonb(t) - CASE $1 WHEN 'checkpoints' THEN 'updated_at' ELSE 'recorded_at' END)::text FROM mailwright."+name+" t ORDER BY 1", name)
		if err != nil {
			b.Fatal(err)
		}
		lines, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(&all, "%s: %d\n%s\n", name, len(lines), strings.Join(lines, "\n"))
	}
	return all.String()
}

// domainOf is the domain on which a type travels; those that every domain takes go to directory.
func domainOf(eventType string) event.Domain {
	return cmp.Or(event.DomainOf(eventType), event.DomainDirectory)
}
