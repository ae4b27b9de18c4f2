package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// replayer is a configuration with a pool of its own, as the command line has.
func (b *env) replayer() replay.Config {
	b.Helper()
	return replay.Config{Pool: newPool(b.T, b.url), JS: b.js, Log: quiet, Examples: 10}
}

func (b *env) verify() replay.Report {
	b.Helper()
	report, err := replay.Verify(b.Context(), b.replayer())
	if err != nil {
		b.Fatal(err)
	}
	return report
}

// equal fails the test where rows differ. Of the tables named, rows must have been compared.
func (b *env) equal(report replay.Report, filled ...string) {
	b.Helper()
	for _, table := range report.Tables {
		if table.Differences > 0 {
			b.Errorf("%s: %d differences, such as %+v", table.Name, table.Differences, table.Examples)
		}
		if i := slices.Index(filled, table.Name); i >= 0 && table.Live.Rows > 0 {
			filled = slices.Delete(filled, i, i+1)
		}
	}
	if len(filled) > 0 {
		b.Errorf("no rows in %v", filled)
	}
}

func (b *env) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.db.Exec(b.Context(), sql, args...); err != nil {
		b.Fatal(err)
	}
}

// trickle publishes until ctx ends, no more than a small machine keeps up with.
func (b *env) trickle(ctx context.Context, seed uint64) {
	for ticker := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; seed++ {
		b.traffic(seed, 10)
		<-ticker.C
	}
}

func TestVerifyWhileEventsCome(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.traffic(80, 500)
	b.follow(b.db, quick)
	b.caughtUp(b.db)
	ctx, stop := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() { b.trickle(ctx, 81) })
	for range 3 {
		b.equal(b.verify(), "operations", "operation_events", "mailbox_inventory", "delegations", "dead_letters", "projection_errors", "inventory_syncs")
	}
	stop()
	publishing.Wait()
	b.await("", "SELECT nspname FROM pg_namespace WHERE nspname = $1", replay.Schema)
}

func TestVerifyComparesEveryTable(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	var compared []string
	for _, table := range b.verify().Tables {
		compared = append(compared, table.Name)
	}
	found, err := b.db.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relnamespace = 'mailwright'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
		AND relname <> ALL ('{checkpoints,erasures,publications,retention,schema_version}') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, compared); diff != "" {
		t.Error(diff)
	}
}

func TestVerifyNamesTheRowsAndColumnsThatDiffer(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	_, stop := b.follow(b.db, quick)
	b.traffic(90, 600)
	b.caughtUp(b.db)
	stop()
	for _, tampering := range []struct{ table, sql, kind, column string }{
		{"operations", "UPDATE mailwright.operations SET state = 'unknown' WHERE operation_id = (SELECT min(operation_id) FROM mailwright.operations WHERE state = 'succeeded') RETURNING operation_id", replay.Changed, "state"},
		{"operation_events", "DELETE FROM mailwright.operation_events WHERE sequence = (SELECT min(sequence) FROM mailwright.operation_events) RETURNING sequence::text", replay.Missing, ""},
		{"operation_events", "UPDATE mailwright.operation_events SET data = '{}' WHERE sequence = (SELECT max(sequence) FROM mailwright.operation_events) RETURNING sequence::text", replay.Changed, "data"},
		{"mailbox_inventory", "UPDATE mailwright.mailbox_inventory SET mailbox_key = 'by hand' WHERE mailbox_key = (SELECT min(mailbox_key) FROM mailwright.mailbox_inventory) RETURNING mailbox_key", replay.Surplus, ""},
		{"delegations", "UPDATE mailwright.delegations SET delegate = 'somebody@else' WHERE (tenant, mailbox_key, delegate_key) = (SELECT tenant, mailbox_key, delegate_key FROM mailwright.delegations ORDER BY 1, 2, 3 LIMIT 1) RETURNING delegate_key", replay.Changed, "delegate"},
		{"dead_letters", "INSERT INTO mailwright.dead_letters (sequence, reason, dead_at) VALUES (999999, 'by hand', now()) RETURNING sequence::text", replay.Surplus, ""},
	} {
		before := b.verify().Differences()
		var key string
		if err := b.db.QueryRow(t.Context(), tampering.sql).Scan(&key); err != nil {
			t.Fatal(err)
		}
		report := b.verify()
		if report.Differences() <= before {
			t.Errorf("%s: not found", tampering.sql)
		}
		named := false
		for _, table := range report.Tables {
			for _, d := range table.Examples {
				columns := ""
				for _, c := range d.Columns {
					columns += c.Name
				}
				named = named || (table.Name == tampering.table && d.Kind == tampering.kind && columns == tampering.column && strings.Contains(fmt.Sprint(d.Key), key))
			}
		}
		if !named {
			t.Errorf("%s of %s is not named: %+v", tampering.kind, key, report.Tables)
		}
	}
}

func TestVerifyCountsWhatAReplayCanNotGive(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	running, stop := b.follow(b.db, quick)
	b.traffic(95, 400)
	b.event(topology.MailboxSubject("contoso", "seen twice"), example(t, event.TypeMailboxObserved))
	b.event(topology.CommandSubject("contoso", event.DomainMailbox, "old"), example(t, event.TypeMailboxCreate))
	b.caughtUp(b.db)
	b.ready(running, "")
	stop()
	// Meanwhile: one mailbox is observed again, one letter discarded, and the commands expire.
	b.event(topology.MailboxSubject("contoso", "seen twice"), example(t, event.TypeMailboxObserved))
	dead, err := b.js.Stream(t.Context(), topology.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.DeleteMsg(t.Context(), dead.CachedInfo().State.FirstSeq); err != nil {
		t.Fatal(err)
	}
	commands, err := b.js.Stream(t.Context(), topology.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	if err := commands.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	report := b.verify()
	b.equal(report)
	var received int
	if err := b.db.QueryRow(t.Context(), "SELECT count(*) FROM mailwright.operations WHERE last_sequence = 0").Scan(&received); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, table := range report.Tables {
		for why, n := range table.Limits {
			got[why] += n
		}
	}
	want := map[string]int{replay.Superseded: 1, replay.Left: 1, replay.Expired: received}
	if diff := cmp.Diff(want, got); diff != "" || received == 0 {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

// structure of tables and views: what a rebuild must leave as it was.
const structure = `
SELECT 'column ' || table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') AS line FROM information_schema.columns WHERE table_schema LIKE 'mailwright%'
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname LIKE 'mailwright%'
UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'mailwright'::regnamespace
UNION ALL SELECT 'view ' || viewname || definition FROM pg_views WHERE schemaname LIKE 'mailwright%'
UNION ALL SELECT 'comment ' || c.relname || description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname LIKE 'mailwright%'
UNION ALL SELECT 'table ' || relname || relkind::text || relpersistence::text || coalesce(pg_get_partkeydef(oid), '') || coalesce(pg_get_expr(relpartbound, oid), '') FROM pg_class WHERE relnamespace = 'mailwright'::regnamespace AND relkind IN ('r', 'p')
UNION ALL SELECT 'grant ' || table_schema || '.' || table_name || ' ' || privilege_type || ' ' || grantee FROM information_schema.role_table_grants WHERE table_schema LIKE 'mailwright%'
ORDER BY 1`

func TestRebuildUnderReadersAndWriters(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	tuning := quick
	tuning.MaxBatch = 50
	running, stopFollowing := b.follow(b.db, tuning)
	b.traffic(100, 800)
	b.caughtUp(b.db)
	before, err := rows(t.Context(), b.db, structure)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() { b.trickle(ctx, 101) })
	reads := make([]int, 4)
	for i, mode := range []string{"simple_protocol", "cache_statement", "cache_describe", "exec"} {
		db := newPool(t, b.url+"&default_query_exec_mode="+mode)
		busy.Go(func() { reads[i] = b.read(ctx, db) })
	}
	for range 3 {
		report, err := replay.Rebuild(t.Context(), b.replayer(), true)
		if err != nil || !report.Swapped {
			t.Fatalf("%v, %+v", err, report)
		}
		b.equal(report, "operations", "operation_events", "mailbox_inventory", "delegations", "dead_letters", "projection_errors")
	}
	stop()
	busy.Wait()
	if slices.Min(reads) < 10 {
		t.Errorf("reads by each reader: %v", reads)
	}
	b.ready(running, "")
	b.caughtUp(b.db) // the projections went on, without a restart
	stopFollowing()
	b.equal(b.verify())
	after, err := rows(t.Context(), b.db, structure)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); diff != "" {
		t.Errorf("the structure changed:\n%s", diff)
	}
	// Migrations know the tables by the names of their indexes and constraints.
	if err := migrations.MigrateDown(t.Context(), b.url, 0); err != nil {
		t.Error(err)
	}
}

// read reads views until ctx ends: no query may fail, and no view that had rows may be empty or
// have fewer.
func (b *env) read(ctx context.Context, db *pgxpool.Pool) (reads int) {
	last := map[string]int{}
	for ; ctx.Err() == nil; reads++ {
		for _, view := range []string{"operations", "operation_events", "mailbox_inventory", "delegated_mailboxes", "projections"} {
			var n int
			err := db.QueryRow(context.Background(), "SELECT count(*) FROM mailwright_views."+view+" WHERE $1", true).Scan(&n)
			if err != nil || n == 0 || (view != "delegated_mailboxes" && n < last[view]) { // mailboxes that turn out to be one become one row
				b.Errorf("%s: %d rows after %d, %v", view, n, last[view], err)
				return reads
			}
			last[view] = n
		}
		// A join, which takes several views at once.
		if _, err := db.Exec(context.Background(), `SELECT count(*) FROM mailwright_views.operation_events e JOIN mailwright_views.operations o USING (operation_id)
			LEFT JOIN mailwright_views.delegates d ON d.operation_id = o.operation_id LEFT JOIN mailwright_views.waiting w ON w.operation_id = o.operation_id`); err != nil {
			b.Error(err)
			return reads
		}
	}
	return reads
}

func TestASwapWaitsForALongReaderAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.traffic(110, 200)
	b.follow(b.db, quick)
	b.caughtUp(b.db)
	long, err := b.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := long.Exec(t.Context(), "SELECT * FROM mailwright_views.operations"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	cfg := b.replayer()
	swapping := make(chan struct{})
	var once sync.Once
	cfg.Progress = func(p replay.Progress) {
		if p.Stage == replay.Swapping {
			once.Do(func() { close(swapping) })
		}
	}
	go func() { _, err := replay.Rebuild(t.Context(), cfg, true); ended <- err }()
	<-swapping
	for range 3 { // others are let in
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := b.db.Exec(ctx, "SELECT * FROM mailwright_views.operations"); err != nil {
			t.Error(err)
		}
		cancel()
	}
	select {
	case err := <-ended:
		t.Fatalf("swapped while a reader read: %v", err)
	default:
	}
	if err := long.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A letter that is discarded while a rebuild swaps must leave the rows that come, not those that
// go.
func TestALetterDiscardedDuringASwapStaysAway(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	for range 3 {
		b.publish(topology.DeadSubject("contoso", event.DomainMailbox, "x"), nil, []byte("{}"))
	}
	running, _ := b.follow(b.db, quick)
	b.caughtUp(b.db)
	b.ready(running, "")
	reader, err := b.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "SELECT * FROM mailwright_views.operations"); err != nil {
		t.Fatal(err)
	}
	cfg := b.replayer()
	swapping, ended := make(chan struct{}), make(chan error, 1)
	cfg.Progress = func(p replay.Progress) {
		if p.Stage == replay.Swapping {
			close(swapping)
		}
	}
	go func() { _, err := replay.Rebuild(t.Context(), cfg, true); ended <- err }()
	<-swapping
	dead, err := b.js.Stream(t.Context(), topology.StreamDead)
	if err == nil {
		err = dead.DeleteMsg(t.Context(), 2)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.await(`{"pruning": true}`, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'SELECT FROM checkpoints%')
		OR NOT EXISTS (SELECT FROM mailwright.dead_letters WHERE sequence = 2) AS pruning`)
	if err := reader.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b.await("{\"sequence\": 1}\n{\"sequence\": 3}", "SELECT sequence FROM mailwright_views.dead_letters ORDER BY 1")
}

// Letters leave the rows also while others come without end.
func TestALetterIsPrunedWhileOthersCome(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	letter := func() uint64 {
		return b.publish(topology.DeadSubject("contoso", event.DomainMailbox, "x"), nil, []byte("{}"))
	}
	b.follow(b.db, quick)
	first := letter()
	b.caughtUp(b.db)
	dead, err := b.js.Stream(t.Context(), topology.StreamDead)
	if err == nil {
		err = dead.DeleteMsg(t.Context(), first)
	}
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(waitTimeout); ; {
		letter()
		left, err := rows(t.Context(), b.db, "SELECT * FROM mailwright.dead_letters WHERE sequence = $1", first)
		if err != nil || time.Now().After(deadline) {
			t.Fatal(left, err)
		}
		if left == "" {
			return
		}
	}
}

func TestARebuildThatIsKilledLeavesNoHarm(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	running, stop := b.follow(b.db, quick)
	b.traffic(120, 1500)
	b.caughtUp(b.db)
	b.ready(running, "")
	before := b.dump(b.db)
	for _, stage := range []replay.Stage{replay.Replaying, replay.BuildingIndexes, replay.Comparing, replay.Swapping} {
		cfg, cutter := b.replayer(), newPool(t, maintenanceURL())
		cfg.Pool = newPool(t, b.url+"&application_name=killed")
		cfg.Progress = func(p replay.Progress) {
			if p.Stage == stage && p.Done > 0 {
				// As if its process were gone: every connection of it.
				_, _ = cutter.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'killed'", b.db.Config().ConnConfig.Database)
			}
		}
		if _, err := replay.Rebuild(t.Context(), cfg, true); err == nil {
			t.Errorf("%s: it was not killed", stage)
		}
	}
	b.ready(running, "")
	stop()
	if diff := cmp.Diff(before, b.dump(b.db)); diff != "" {
		t.Errorf("the rows changed:\n%s", diff)
	}
	if report, err := replay.Rebuild(t.Context(), b.replayer(), true); err != nil || !report.Swapped {
		t.Errorf("%v, %+v", err, report)
	}
	if diff := cmp.Diff(before, b.dump(b.db)); diff != "" {
		t.Errorf("the rows changed:\n%s", diff)
	}
	b.await("", "SELECT nspname FROM pg_namespace WHERE nspname = $1", replay.Schema)
}

func TestOneReplayAtATime(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.exec("SELECT 1")
	cfg := b.replayer()
	var second error
	cfg.Progress = func(replay.Progress) {
		if second == nil {
			_, second = replay.Verify(b.Context(), b.replayer())
		}
	}
	if _, err := replay.Verify(t.Context(), cfg); err != nil || !errors.Is(second, replay.ErrBusy) {
		t.Errorf("%v; the second: %v", err, second)
	}
}

func TestARebuildRefusesForeignViewsOfTables(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.exec("CREATE VIEW public.mine AS SELECT state FROM mailwright.operations")
	if _, err := replay.Rebuild(t.Context(), b.replayer(), true); err == nil || !strings.Contains(err.Error(), "public.mine") {
		t.Error(err)
	}
	b.exec("DROP VIEW public.mine; CREATE VIEW public.mine AS SELECT state FROM mailwright_views.operations")
	if _, err := replay.Rebuild(t.Context(), b.replayer(), true); err != nil {
		t.Error(err)
	}
}

func TestARebuildReadsAStreamOnce(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	running, stop := b.follow(b.db, quick)
	for i := range 20 { // nothing for most of the projections
		b.result(of(example(t, event.TypeMailboxCreated), "/test", fmt.Sprint(i)))
	}
	b.ready(running, "")
	b.caughtUp(b.db)
	stop()
	report, err := replay.Rebuild(t.Context(), b.replayer(), true)
	if err != nil || report.Messages != 20 {
		t.Errorf("%v, %d messages read", err, report.Messages)
	}
	b.equal(report, "mailboxes")
}
