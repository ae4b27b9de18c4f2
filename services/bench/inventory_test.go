// Package bench measures the whole system with real processes: sandbox, NATS, services and
// Postgres. 'make bench' runs it.
package bench

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/benchmark"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
)

const (
	// maxMemory is what a service may take for an inventory of any size, in MiB.
	maxMemory = 256
	// minOfInventoryFloor is the share of the floor's rate that a first inventory must reach.
	minOfInventoryFloor = 0.5
)

// BenchmarkInventory takes inventories of two sizes, the second ten times the first, from the
// sandbox to Postgres: twice each, then once with changes. BENCH_FULL=1 takes 1,000,000 mailboxes
// in the place of 200,000. BENCH_JSON names a file for the results.
func BenchmarkInventory(b *testing.B) {
	small, large := 20_000, 200_000
	if os.Getenv("BENCH_FULL") != "" {
		small, large = 100_000, 1_000_000
	}
	bin, tools := programs(b, "mailwright", "sandbox", "inventory-svc", "projection-svc"), build(b, "bench/floor")
	for b.Loop() {
		first, second := measure(b, bin, tools, small), measure(b, bin, tools, large)
		rows := append(first.rows(), second.rows()...)
		ratio := second.whole.Seconds() / first.whole.Seconds()
		rows = append(rows, benchmark.Row{Name: fmt.Sprintf("inventory: time for %d mailboxes, times that for %d", large, small), Value: ratio, Unit: "times", Target: 11, OK: ratio <= 11})
		// What else the machine does meanwhile changes the time, but hardly this.
		cpu := second.cpu / first.cpu
		rows = append(rows, benchmark.Row{Name: "inventory: the same of CPU time, of inventory-svc and NATS until the first result", Value: cpu, Unit: "times", OK: true})
		benchmark.Report(b, rows...)
	}
}

// figures are what one size took.
type figures struct {
	mailboxes int
	floor     time.Duration // of the hand-written program
	sync      time.Duration // until its result
	whole     time.Duration // until Postgres has every row
	again     time.Duration // a sync without changes
	surplus   uint64        // observations that this one published
	events    uint64        // events of it that are neither its start, its progress nor its result
	// a sync with a hundredth changed and a thousandth gone, until Postgres has it
	changed time.Duration
	memory  map[string]float64
	cpu     float64 // seconds that inventory-svc and NATS took for the first result
}

func (f figures) rows() []benchmark.Row {
	name := func(what string) string { return fmt.Sprintf("inventory, %d mailboxes: %s", f.mailboxes, what) }
	ratio := f.floor.Seconds() / f.whole.Seconds()
	rows := []benchmark.Row{
		{Name: name("floor: the same pages, COPY and merge by hand"), Value: f.floor.Seconds(), Unit: "s", OK: true},
		{Name: name("first sync, until every row is in Postgres, rate"), Value: float64(f.mailboxes) / f.whole.Seconds(), Unit: "mailboxes/s", Ratio: ratio, Target: minOfInventoryFloor, OK: ratio >= minOfInventoryFloor},
		{Name: name("first sync, until its result"), Value: f.sync.Seconds(), Unit: "s", OK: true},
		{Name: name("first sync, until every row is in Postgres"), Value: f.whole.Seconds(), Unit: "s", OK: true},
		{Name: name("second sync, without changes"), Value: f.again.Seconds(), Unit: "s", OK: true},
		{Name: name("observations published by it"), Value: float64(f.surplus), Unit: "messages", OK: f.surplus == 0},
		{Name: name("events published by it beside start, progress and result"), Value: float64(f.events), Unit: "messages", OK: f.events == 0},
		{Name: name("third sync, 1 % changed, 0.1 % gone, until in Postgres"), Value: f.changed.Seconds(), Unit: "s", OK: true},
	}
	for _, service := range inventoried {
		mib := f.memory[service]
		rows = append(rows, benchmark.Row{Name: name("peak memory of " + service), Value: mib, Unit: "MiB", Target: maxMemory, OK: mib > 0 && mib < maxMemory})
	}
	return rows
}

var inventoried = []string{"inventory-svc", "projection-svc"}

func measure(b *testing.B, bin, tools string, mailboxes int) figures {
	b.Helper()
	dir, err := os.MkdirTemp("", "mw-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // for Postgres, which runs as a user of its own
		b.Fatal(err)
	}
	s, err := stack.Start(b.Context(), stack.Options{Dir: dir, Bin: bin, Services: inventoried, Volatile: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			b.Error(err)
		}
	}()
	l := newLine(b, s)
	defer l.close()
	f := figures{mailboxes: mailboxes, memory: map[string]float64{}}
	l.populate(map[string]any{"count": mailboxes})
	f.floor = l.floor(s, tools, mailboxes)
	began := time.Now()
	first := l.sync("first")
	f.sync = time.Since(began)
	f.cpu = usageOf(b, "inventory-svc").cpu + usageOf(b, "mailwright").cpu
	l.await(`SELECT count(*) FROM mailwright_views.mailbox_inventory`, first.Seen)
	f.whole = time.Since(began)
	began = time.Now()
	before, events := l.stored(topology.StreamMailboxes), l.stored(topology.StreamEvents)
	if again := l.sync("second"); again.Unchanged != first.Seen || again.Seen != first.Seen {
		b.Errorf("the second sync: %+v", again)
	}
	f.again, f.surplus = time.Since(began), l.stored(topology.StreamMailboxes)-before
	f.events = l.surplus(events)
	l.populate(map[string]any{"count": mailboxes, "changed": 0.01, "removed": 0.001})
	began = time.Now()
	third := l.sync("third")
	l.await(`SELECT count(*) FROM mailwright_views.mailbox_inventory WHERE sync_id = '`+event.OperationID("contoso", source, "third")+`'`, third.Changed+third.Missing)
	f.changed = time.Since(began)
	if third.Changed == 0 || third.Missing == 0 || third.Suspect {
		b.Errorf("the third sync: %+v", third)
	}
	for _, service := range inventoried {
		f.memory[service] = usageOf(b, service).peak
	}
	return f
}

const source = "/bench"

// line is a connection to a running system.
type line struct {
	*testing.B
	nc      *nats.Conn
	js      jetstream.JetStream
	db      *pgx.Conn
	sandbox sandboxapi.Client
}

func newLine(b *testing.B, s *stack.Stack) *line {
	b.Helper()
	l := &line{B: b, sandbox: sandboxapi.Client{URL: s.Endpoints.Sandbox}}
	var err error
	if l.nc, err = nats.Connect(s.Endpoints.NATS); err != nil {
		b.Fatal(err)
	}
	if l.js, err = jetstream.New(l.nc); err != nil {
		b.Fatal(err)
	}
	if l.db, err = pgx.Connect(b.Context(), s.Endpoints.Postgres); err != nil {
		b.Fatal(err)
	}
	return l
}

// floor has the hand-written program take the same inventory into a database of its own.
func (l *line) floor(s *stack.Stack, tools string, mailboxes int) time.Duration {
	l.Helper()
	if _, err := l.db.Exec(l.Context(), "CREATE DATABASE floor"); err != nil {
		l.Fatal(err)
	}
	at, err := url.Parse(s.Endpoints.Postgres)
	if err != nil {
		l.Fatal(err)
	}
	at.Path = "/floor"
	if err := migrations.Migrate(l.Context(), at.String()); err != nil {
		l.Fatal(err)
	}
	cmd := exec.CommandContext(l.Context(), filepath.Join(tools, "floor"), "inventory", "--vendor", s.Endpoints.Sandbox)
	cmd.Env = append(shippedEnv(), "DATABASE_URL="+at.String())
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("floor: %v: %s", err, out)
	}
	took := time.Since(began)
	db, err := pgx.Connect(l.Context(), at.String())
	if err != nil {
		l.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(l.Context())) }()
	var n int
	if err := db.QueryRow(l.Context(), "SELECT count(*) FROM mailwright.mailbox_inventory").Scan(&n); err != nil || n < mailboxes {
		l.Fatalf("floor: %d rows of %d mailboxes: %v", n, mailboxes, err)
	}
	return took
}

func (l *line) close() {
	l.nc.Close()
	_ = l.db.Close(context.Background()) // the server goes next
}

func (l *line) populate(population map[string]any) {
	l.Helper()
	if err := l.sandbox.Do(l.Context(), "POST", "enpower/population", population, nil); err != nil {
		l.Fatal(err)
	}
}

// sync takes an inventory and gives its result.
func (l *line) sync(id string) event.SyncCompletedData {
	l.Helper()
	e, err := event.New(id, source, event.TypeInventorySync, event.InventorySyncData{})
	if err != nil {
		l.Fatal(err)
	}
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		l.Fatal(err)
	}
	if _, err := l.js.PublishMsg(l.Context(), &nats.Msg{Subject: topology.CommandSubject("contoso", event.DomainInventory, "bench"), Header: header, Data: body}); err != nil {
		l.Fatal(err)
	}
	consumer, err := l.js.OrderedConsumer(l.Context(), topology.StreamEvents, jetstream.OrderedConsumerConfig{FilterSubjects: []string{topology.EventSubject("contoso", event.DomainInventory, event.OperationID("contoso", source, id))}})
	if err != nil {
		l.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		l.Fatal(err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(l.Context()))
		if err != nil {
			l.Fatal(err)
		}
		e, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			l.Fatal(err)
		}
		if state, _ := event.StateOf(e); !state.Terminal() {
			continue
		}
		var done event.SyncCompletedData
		if err := e.DataAs(&done); err != nil || e.Type() != event.TypeSyncCompleted {
			l.Fatalf("%s %s: %v", e.Type(), e.Data(), err)
		}
		return done
	}
}

// stored is how many messages a stream has ever stored.
func (l *line) stored(stream string) uint64 {
	l.Helper()
	s, err := l.js.Stream(l.Context(), stream)
	if err != nil {
		l.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// surplus counts the events after a position that no inventory needs.
func (l *line) surplus(after uint64) (n uint64) {
	l.Helper()
	s, err := l.js.Stream(l.Context(), topology.StreamEvents)
	if err != nil {
		l.Fatal(err)
	}
	needed := []string{event.StartedType(event.DomainInventory), event.TypeSyncProgress, event.TypeSyncCompleted}
	for sequence := after + 1; sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		m, err := s.GetMsg(l.Context(), sequence)
		if err != nil {
			l.Fatal(err)
		}
		if e, err := event.Decode(m.Header, m.Data); err != nil || !slices.Contains(needed, e.Type()) {
			n++
		}
	}
	return n
}

// await waits until a query counts as many rows.
func (l *line) await(query string, want int) {
	l.Helper()
	for got := -1; got != want; {
		if err := l.db.QueryRow(l.Context(), query).Scan(&got); err != nil {
			l.Fatal(err)
		}
		if got != want {
			time.Sleep(200 * time.Millisecond)
		}
	}
}
