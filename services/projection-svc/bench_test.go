package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/benchmark"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// size is how much a benchmark works on; BENCH_FULL=1 takes a million.
func size(usual int) int {
	if os.Getenv("BENCH_FULL") == "1" {
		return 1_000_000
	}
	return usual
}

// floorBatch is the number of rows that the floor commits at once.
const floorBatch = 5000

// ground is a NATS server and a database for a benchmark.
type ground struct {
	*testing.B
	url string // of NATS
	js  jetstream.JetStream
}

func newGround(b *testing.B) *ground {
	b.Helper()
	s, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Shutdown)
	nc, err := bus.Connect(b.Context(), s.URL(), b.Name(), quiet)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		b.Fatal(err)
	}
	if err := topology.Ensure(b.Context(), js, topology.Config{}); err != nil {
		b.Fatal(err)
	}
	return &ground{b, s.URL(), js}
}

// publish fills a stream with n messages.
func (g *ground) publish(n int, message func(i int) (string, event.Event)) {
	g.Helper()
	for i := range n {
		subject, e := message(i)
		header, body, err := event.Encode(e, event.Binary)
		if err == nil {
			_, err = g.js.PublishMsgAsync(&nats.Msg{Subject: subject, Header: header, Data: body}, jetstream.WithStallWait(time.Minute))
		}
		if err != nil {
			g.Fatal(err)
		}
	}
	<-g.js.PublishAsyncComplete()
}

// floor writes the rows that a table has into the same table of an empty database: COPY and merge,
// by hand, from memory.
func (g *ground) floor(from, to *pgxpool.Pool, name, key string) time.Duration {
	g.Helper()
	found, err := from.Query(g.Context(), "SELECT column_name FROM information_schema.columns WHERE table_schema = 'mailwright' AND table_name = $1 AND is_generated = 'NEVER' ORDER BY 1", name)
	if err != nil {
		g.Fatal(err)
	}
	columns, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		g.Fatal(err)
	}
	list := strings.Join(columns, ", ")
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c + " = excluded." + c
	}
	merge := fmt.Sprintf("INSERT INTO mailwright.%[1]s (%[4]s) SELECT %[4]s FROM staging ON CONFLICT (%[2]s) DO UPDATE SET %[3]s", name, key, strings.Join(sets, ", "), list)
	conn, err := to.Acquire(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(g.Context(), "DROP TABLE IF EXISTS staging; CREATE TEMP TABLE staging (LIKE mailwright."+name+") ON COMMIT DELETE ROWS"); err != nil {
		g.Fatal(err)
	}
	if found, err = from.Query(g.Context(), "SELECT "+list+" FROM mailwright."+name); err != nil {
		g.Fatal(err)
	}
	defer found.Close()
	var took time.Duration // of the writing alone
	var batch [][]any
	for more := true; more; {
		if more = found.Next(); more {
			row, err := found.Values()
			if err != nil {
				g.Fatal(err)
			}
			batch = append(batch, row)
		}
		if len(batch) < floorBatch && more {
			continue
		}
		began := time.Now()
		err := postgres.InTx(g.Context(), conn, func(tx pgx.Tx) error {
			if _, err := tx.CopyFrom(g.Context(), pgx.Identifier{"staging"}, columns, pgx.CopyFromRows(batch)); err != nil {
				return err
			}
			_, err := tx.Exec(g.Context(), merge)
			return err
		})
		if err != nil {
			g.Fatal(err)
		}
		took += time.Since(began)
		batch = batch[:0]
	}
	if err := found.Err(); err != nil {
		g.Fatal(err)
	}
	return took
}

// service runs the program itself until a query gives true, and gives its peak memory in bytes.
func (g *ground) service(databaseURL string, db *pgxpool.Pool, done string) (took time.Duration, peak float64) {
	g.Helper()
	cmd, began := g.start(databaseURL), time.Now()
	for arrived := false; !arrived; {
		time.Sleep(20 * time.Millisecond)
		if err := db.QueryRow(g.Context(), done).Scan(&arrived); err != nil {
			g.Fatal(err)
		}
		if time.Since(began) > 15*time.Minute {
			g.Fatal("it does not arrive")
		}
	}
	took, peak = time.Since(began), peakMemory(cmd.Process.Pid)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return took, peak
}

func (g *ground) database() (string, *pgxpool.Pool) {
	g.Helper()
	url := newDatabase(g)
	return url, newPool(g, url)
}

const (
	targetRatio  = 0.5
	targetMemory = 256 << 20
)

// BenchmarkProjectionOfMailboxes measures how fast a backlog of mailbox observations becomes rows,
// by the program itself.
func BenchmarkProjectionOfMailboxes(b *testing.B) {
	for b.Loop() {
		g, n := newGround(b), size(100_000)
		observed := example(b, event.TypeMailboxObserved)
		g.publish(n, func(i int) (string, event.Event) {
			return topology.MailboxSubject("contoso", fmt.Sprintf("mailbox-%d", i)), observed
		})
		url, db := g.database()
		took, peak := g.service(url, db, fmt.Sprintf("SELECT count(*) > 0 FROM mailwright.checkpoints WHERE projection = 'mailbox_inventory' AND sequence = %d", n))
		_, empty := g.database()
		floor := g.floor(db, empty, "mailbox_inventory", "tenant, mailbox_key")
		ratio := floor.Seconds() / took.Seconds()
		benchmark.Report(b,
			benchmark.Row{Name: "mailbox rows, floor: COPY and merge by hand", Value: float64(n) / floor.Seconds(), Unit: "rows/s", OK: true},
			benchmark.Row{Name: "mailbox observations to rows", Value: float64(n) / took.Seconds(), Unit: "rows/s", Ratio: ratio, Target: targetRatio, OK: ratio >= targetRatio},
			benchmark.Row{Name: "projection-svc, peak memory with that backlog", Value: peak / (1 << 20), Unit: "MiB", Target: targetMemory >> 20, OK: peak > 0 && peak < targetMemory})
		b.ReportMetric(ratio, "of-floor")
	}
}

// BenchmarkProjectionRebuild measures a rebuild of operation events, from the first message to the
// swap.
func BenchmarkProjectionRebuild(b *testing.B) {
	for b.Loop() {
		g, n := newGround(b), size(200_000)
		begun, changed := example(b, event.StartedType(event.DomainDelegation)), example(b, event.TypeDelegationChanged)
		g.publish(n, func(i int) (string, event.Event) {
			id := fmt.Sprint(i / 2)
			e := begun
			if i%2 == 1 {
				e = changed
			}
			e = of(e.Clone(), "/bench", id)
			return topology.EventSubject("contoso", event.DomainDelegation, event.OperationID("contoso", "/bench", id)), e
		})
		url, db := g.database()
		pool, err := postgres.Open(b.Context(), url, replay.Connections())
		if err != nil {
			b.Fatal(err)
		}
		defer pool.Close()
		stream, err := g.js.Stream(b.Context(), topology.StreamEvents)
		if err != nil {
			b.Fatal(err)
		}
		// As if the rows were lost: the projections are there, and their rows are not.
		if _, err := db.Exec(context.Background(), `INSERT INTO mailwright.checkpoints (projection, stream, incarnation, sequence)
			SELECT unnest('{operations,directory_objects,mailboxes,delegations,folder_permissions,inventory_syncs}'::text[]), $1, date_trunc('microseconds', $2::timestamptz), $3`,
			topology.StreamEvents, stream.CachedInfo().Created.Truncate(time.Microsecond), n); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		report, err := replay.Rebuild(b.Context(), replay.Config{Pool: pool, JS: g.js, Log: quiet, Examples: 1}, false)
		if err != nil || !report.Swapped {
			b.Fatalf("%v %+v", err, report)
		}
		took := time.Since(began)
		began = time.Now()
		proof, err := replay.Verify(b.Context(), replay.Config{Pool: pool, JS: g.js, Log: quiet, Examples: 1})
		if err != nil || proof.Differences() > 0 {
			b.Fatalf("%v %+v", err, proof)
		}
		verified := time.Since(began)
		began = time.Now()
		again, err := replay.Rebuild(b.Context(), replay.Config{Pool: pool, JS: g.js, Log: quiet, Examples: 1}, true)
		if err != nil || again.Differences() > 0 {
			b.Fatalf("%v %+v", err, again)
		}
		compared := time.Since(began)
		_, empty := g.database()
		floor := g.floor(db, empty, "operations", "operation_id") + g.floor(db, empty, "operation_events", "stored_at, sequence")
		ratio := floor.Seconds() / took.Seconds()
		benchmark.Report(b,
			benchmark.Row{Name: "operation events, floor: COPY and merge by hand", Value: float64(n) / floor.Seconds(), Unit: "events/s", OK: true},
			benchmark.Row{Name: "rebuild of operation events", Value: float64(n) / took.Seconds(), Unit: "events/s", Ratio: ratio, Target: targetRatio, OK: ratio >= targetRatio},
			benchmark.Row{Name: "rebuild of operation events, compared with as many live rows", Value: float64(n) / compared.Seconds(), Unit: "events/s", Ratio: floor.Seconds() / compared.Seconds(), OK: true},
			benchmark.Row{Name: "verify of operation events", Value: float64(n) / verified.Seconds(), Unit: "events/s", Ratio: floor.Seconds() / verified.Seconds(), OK: true})
		b.ReportMetric(ratio, "of-floor")
	}
}
