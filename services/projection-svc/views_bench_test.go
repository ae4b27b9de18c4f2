package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/benchmark"
)

// slowest is what a documented query may take when its pages are in memory, in milliseconds.
const slowest = 200

// BenchmarkViews runs every documented query, and those of the dashboards' panels, as the role for
// dashboards, over 10 million events of 3 million operations and a million mailboxes; without
// BENCH_FULL=1, over a tenth of that. BENCH_PLANS names a folder for the plans.
func BenchmarkViews(b *testing.B) {
	operations, mailboxes := 300_000, 100_000
	if os.Getenv("BENCH_FULL") == "1" {
		operations, mailboxes = 3_000_000, 1_000_000
	}
	db := newCrowd(b, operations, mailboxes)
	queries := documentedQueries(b)
	for file, d := range dashboards(b) {
		for _, p := range d.Panels {
			name := "panel-" + strings.TrimSuffix(file, ".json") + "-" + strings.ToLower(strings.Join(strings.FieldsFunc(p.Title, func(r rune) bool { return r < 'A' }), "-"))
			queries[name] = append(queries[name], expand(p.Targets[0].RawSQL))
		}
	}
	for b.Loop() {
		for _, view := range slices.Sorted(maps.Keys(queries)) {
			for i, sql := range queries[view] {
				name := fmt.Sprintf("%s-%d", view, i+1)
				sql = strings.ReplaceAll(sql, "'…'", "(SELECT operation_id FROM operations ORDER BY received_at DESC LIMIT 1)")
				took := measureQuery(b, db, name, sql)
				benchmark.Report(b, benchmark.Row{Name: "view " + name, Value: took, Unit: "ms", Target: slowest, OK: took <= slowest})
			}
		}
	}
}

// newCrowd gives a database with so many rows, as a reader of its views sees it.
func newCrowd(b *testing.B, operations, mailboxes int) *pgx.Conn {
	b.Helper()
	dir, err := os.MkdirTemp("", "mw-views-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres' own user must be able to enter it
		b.Fatal(err)
	}
	s, err := embedded.StartPostgres(b.Context(), embedded.PostgresConfig{Dir: dir, Volatile: true, Settings: map[string]string{
		"shared_buffers": "2GB", "work_mem": "32MB", "maintenance_work_mem": "512MB", "max_wal_size": "8GB", "random_page_cost": "1.1", "autovacuum": "off"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Stop() })
	if err := migrations.Migrate(b.Context(), s.URL()); err != nil {
		b.Fatal(err)
	}
	conn, err := pgx.Connect(b.Context(), s.URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	populate(b, conn, operations, mailboxes)
	if _, err := conn.Exec(b.Context(), "VACUUM (ANALYZE)"); err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Exec(b.Context(), "SET ROLE mailwright_reader; SET search_path = mailwright_views"); err != nil {
		b.Fatal(err)
	}
	return conn
}

// populate makes the rows of testdata/crowd.sql.
func populate(t testing.TB, conn *pgx.Conn, operations, mailboxes int) {
	t.Helper()
	// Else VACUUM finds commits that are not on disk yet, and cannot mark their pages as visible
	// to all.
	if _, err := conn.Exec(t.Context(), "SET synchronous_commit = on"); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/crowd.sql")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(":operations", fmt.Sprint(operations), ":mailboxes", fmt.Sprint(mailboxes)).Replace(string(raw))
	for statement := range strings.SplitSeq(script, ";\n") {
		began := time.Now()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Logf("%.0f s: %.60s", took.Seconds(), strings.TrimSpace(statement))
		}
	}
}

// measureQuery gives the median of five runs in milliseconds, all rows fetched, after two to warm
// up.
func measureQuery(b *testing.B, conn *pgx.Conn, name, sql string) float64 {
	b.Helper()
	var times []time.Duration
	for i := range 7 {
		began := time.Now()
		rows, err := conn.Query(b.Context(), sql)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
		}
		if err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
		if i > 1 {
			times = append(times, time.Since(began))
		}
	}
	slices.Sort(times)
	if folder := os.Getenv("BENCH_PLANS"); folder != "" {
		if err := writePlan(b, conn, filepath.Join(folder, name+".txt"), sql); err != nil {
			b.Fatal(err)
		}
	}
	return float64(times[len(times)/2].Microseconds()) / 1000
}

func writePlan(b *testing.B, conn *pgx.Conn, file, sql string) error {
	b.Helper()
	rows, err := conn.Query(b.Context(), "EXPLAIN (ANALYZE, BUFFERS) "+sql)
	if err != nil {
		return err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(sql+";\n\n"+strings.Join(lines, "\n")+"\n"), 0o600)
}
