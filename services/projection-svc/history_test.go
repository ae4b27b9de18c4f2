package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// keep maintains the tables as of a time, as the leading process does every hour.
func (b *env) keep(history projection.Retention, now time.Time) {
	b.Helper()
	err := postgres.InTx(b.Context(), b.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.Context(), "SET LOCAL search_path = mailwright"); err != nil {
			return err
		}
		return projection.Operations{History: history}.Maintain(b.Context(), tx, now)
	})
	if err != nil {
		b.Fatal(err)
	}
}

const partitions = `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'mailwright.operation_events'::regclass ORDER BY 1`

func months(from time.Time, n int) string {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"relname": "operation_events_%s"}`, time.Date(from.Year(), from.Month()+time.Month(i), 1, 0, 0, 0, 0, time.UTC).Format("2006_01")))
	}
	return strings.Join(append(lines, `{"relname": "operation_events_default"}`), "\n")
}

func TestMonthsAreMadeAheadAndTakeWhatTheDefaultHolds(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	old := time.Date(2020, 5, 31, 23, 59, 59, 0, time.UTC)
	b.exec(`INSERT INTO mailwright.operation_events (stored_at, sequence, operation_id, type, state, event_id, source, data)
		SELECT $1::timestamptz + n * interval '1 second', n, 'o', 't', 'succeeded', 'e', 's', '{}' FROM generate_series(0, 1) n`, old)
	b.keep(projection.Retention{}, old)
	b.await(months(old, 3), partitions)
	b.await(`{"relname": "operation_events_2020_05"}
{"relname": "operation_events_2020_06"}`, "SELECT relname FROM mailwright.operation_events e JOIN pg_class c ON c.oid = e.tableoid ORDER BY stored_at")
	b.keep(projection.Retention{}, old) // nothing is left to do
	b.await(months(old, 3), partitions)
}

func TestAServiceMakesTheMonths(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	now := b.result(example(t, event.TypeMailboxCreated))
	b.await(fmt.Sprintf(`{"of_month": true, "sequence": %d}`, now),
		`SELECT sequence, relname = 'operation_events_' || to_char(stored_at AT TIME ZONE 'UTC', 'YYYY_MM') AS of_month FROM mailwright.operation_events e JOIN pg_class c ON c.oid = e.tableoid`)
	b.await(months(time.Now().UTC(), 3), partitions)
}

func TestRetentionLetsWholeMonthsGoForGood(t *testing.T) {
	t.Parallel()
	for _, archive := range []bool{false, true} {
		b := newEnv(t)
		running, stop := b.follow(b.db, quick)
		b.traffic(130, 200)
		b.ready(running, "")
		b.caughtUp(b.db)
		stop()
		var events int
		if err := b.db.QueryRow(t.Context(), "SELECT count(*) FROM mailwright_views.operation_events").Scan(&events); err != nil || events == 0 {
			t.Fatal(events, err)
		}
		now := time.Now().UTC()
		this := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
		history := projection.Retention{Months: 2, Archive: archive}
		b.keep(history, this.AddDate(0, 2, 0)) // this month is the second before: it stays
		b.await(fmt.Sprintf(`{"count": %d}`, events), "SELECT count(*) FROM mailwright_views.operation_events")
		b.equal(b.verify(), "operation_events")
		b.keep(history, this.AddDate(0, 3, 0))
		b.await(`{"count": 0}`, "SELECT count(*) FROM mailwright_views.operation_events")
		b.await(months(this.AddDate(0, 1, 0), 5), partitions)
		b.await(map[bool]string{true: fmt.Sprintf(`{"relname": "operation_events_%s"}`, this.Format("2006_01"))}[archive],
			"SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'mailwright_archive' AND relkind = 'r'")
		// A replay knows, and a rebuild does not bring them back.
		b.equal(b.verify(), "operations")
		report, err := replay.Rebuild(t.Context(), b.replayer(), true)
		if err != nil {
			t.Fatal(err)
		}
		b.equal(report, "operations")
		b.await(`{"count": 0}`, "SELECT count(*) FROM mailwright_views.operation_events")
	}
}

func TestRetentionDoesNotWaitForReaders(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	reader, err := b.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "SELECT * FROM mailwright_views.operation_events"); err != nil {
		t.Fatal(err)
	}
	b.keep(projection.Retention{Months: 1}, time.Now())
	b.await(`{"relname": "operation_events_default"}`, partitions) // left for the next time
	if err := reader.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.keep(projection.Retention{Months: 1}, time.Now())
	b.await(months(time.Now().UTC(), 3), partitions)
}

func TestWhatTheDefaultHoldsIsArchivedToo(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	now := time.Date(2020, 5, 31, 23, 59, 59, 0, time.UTC)
	history := projection.Retention{Months: 1, Archive: true}
	archived := func(want ...int) {
		t.Helper()
		lines := make([]string, len(want))
		for i, n := range want {
			lines[i] = fmt.Sprintf(`{"sequence": %d}`, n)
		}
		b.await(strings.Join(lines, "\n"), "SELECT sequence FROM mailwright_archive.operation_events_2020_02 ORDER BY 1")
	}
	add := func(sequence int) {
		t.Helper()
		b.exec(`INSERT INTO mailwright.operation_events (stored_at, sequence, operation_id, type, state, event_id, source, data)
			VALUES ('2020-02-03T00:00:00Z', $1, 'o', 't', 'succeeded', 'e', 's', '{}')`, sequence)
	}
	add(1)
	b.keep(history, now)
	archived(1)
	b.await("", "SELECT * FROM mailwright.operation_events")
	// The same month once more, as after the live schema was restored from a backup.
	b.exec("DELETE FROM mailwright.retention")
	add(1)
	add(2)
	b.keep(history, now)
	archived(1, 2)
	b.await("", "SELECT * FROM mailwright.operation_events")
}

// TestMaintenanceThatFailsStopsNothing: an archive that cannot be written to leaves the rows
// coming.
func TestMaintenanceThatFailsStopsNothing(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.exec("CREATE SCHEMA mailwright_archive; CREATE TABLE mailwright_archive.operation_events_2020_02 (nothing int)")
	b.exec(`INSERT INTO mailwright.operation_events (stored_at, sequence, operation_id, type, state, event_id, source, data)
		VALUES ('2020-02-03T00:00:00Z', 1, 'o', 't', 'succeeded', 'e', 's', '{}')`)
	log := &lines{}
	p := projector.New([]projector.Projection{projection.Operations{History: projection.Retention{Months: 1, Archive: true}}}, b.db, b.js, slog.New(slog.NewTextHandler(log, nil)), quick)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	defer running.Wait()
	defer cancel()
	b.result(example(t, event.TypeMailboxCreated))
	b.await(`{"operations": 1}`, "SELECT count(*) AS operations FROM mailwright_views.operations")
	b.ready([]*projector.Projector{p}, "")
	if !strings.Contains(log.String(), "the maintenance of tables failed") {
		t.Errorf("%s", log)
	}
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
