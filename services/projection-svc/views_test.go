package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/postgres"
)

var update = flag.Bool("update", false, "write what the database says of its views into docs/projections.md")

const page = "../../docs/projections.md"

// columnsBegin and columnsEnd enclose what is written by -update.
const columnsBegin, columnsEnd = "<!-- columns: from the database's comments -->\n", "<!-- end of columns -->\n"

func TestEveryColumnOfEveryViewIsDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(raw), columnsBegin)
	documented, after, ended := strings.Cut(rest, columnsEnd)
	if !begun || !ended {
		t.Fatal("docs/projections.md has no place for the columns")
	}
	want := columnsOfViews(t, newPool(t, newDatabase(t)))
	if *update {
		if err := os.WriteFile(page, []byte(before+columnsBegin+want+columnsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if documented != want {
		t.Error("docs/projections.md and the comments of the database differ: go test ./projection-svc -run Documented -update")
	}
}

// columnsOfViews gives a section a view and a line a column.
func columnsOfViews(t *testing.T, db *pgxpool.Pool) string {
	t.Helper()
	found, err := db.Query(t.Context(), `SELECT c.relname, obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
		WHERE c.relnamespace = 'mailwright_views'::regnamespace ORDER BY c.relname, a.attnum`)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var view, about, column, kind, meaning, last string
	_, err = pgx.ForEachRow(found, []any{&view, &about, &column, &kind, &meaning}, func() error {
		if view != last {
			fmt.Fprintf(&text, "\n### %s\n\n%s\n\n| column | type | meaning |\n|---|---|---|\n", view, about)
		}
		last = view
		kind = strings.Replace(kind, " with time zone", "tz", 1)
		fmt.Fprintf(&text, "| `%s` | %s | %s |\n", column, kind, strings.ReplaceAll(meaning, "''", "empty"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String() + "\n"
}

// documentedQueries gives the example queries of the documentation by view, without the schema
// where one is left out.
func documentedQueries(t testing.TB) map[string][]string {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string][]string{}
	for _, line := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| .*`SELECT .*$").FindAllStringSubmatch(string(raw), -1) {
		for _, q := range regexp.MustCompile("`(SELECT [^`]+)`").FindAllStringSubmatch(line[0], -1) {
			queries[line[1]] = append(queries[line[1]], q[1])
		}
	}
	return queries
}

// The roles of those who read.
const reader, auditor = "mailwright_reader", "mailwright_auditor"

// as runs f as a role.
func as(t testing.TB, role string, db *pgxpool.Pool, f func(pgx.Tx) error) error {
	t.Helper()
	return postgres.InTx(t.Context(), db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE "+role+"; SET LOCAL search_path = mailwright_views"); err != nil {
			return err
		}
		return f(tx)
	})
}

func TestTheReaderRunsEveryDocumentedQueryAndReadsNoTable(t *testing.T) {
	t.Parallel()
	db := newPool(t, newDatabase(t))
	queries := documentedQueries(t)
	views, err := rows(t.Context(), db, "SELECT viewname FROM pg_views WHERE schemaname = 'mailwright_views' ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(views) {
		var view string
		if _, err := fmt.Sscanf(line, `{"viewname": %q}`, &view); err != nil {
			t.Fatal(err)
		}
		if len(queries[view]) == 0 {
			t.Errorf("view %s has no example query", view)
		}
		role, other := reader, auditor
		if view == "audit" {
			role, other = auditor, reader
		}
		if err := as(t, other, db, func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), "SELECT FROM "+view); return err }); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s reads %s: %v", other, view, err)
		}
		for _, sql := range queries[view] {
			err := as(t, role, db, func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), sql); return err })
			if err != nil {
				t.Errorf("%s: %v", sql, err)
			}
			if !strings.Contains(sql, view) {
				t.Errorf("an example of %s does not read it: %s", view, sql)
			}
		}
		delete(queries, view)
	}
	if len(queries) > 0 {
		t.Errorf("documented, but not there: %v", queries)
	}
	for _, table := range tableNames(t.Context(), t, db) {
		for _, role := range []string{reader, auditor} {
			err := as(t, role, db, func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), "SELECT FROM mailwright."+table); return err })
			if err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%s reads table %s: %v", role, table, err)
			}
		}
	}
}

func TestOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	_, stop := b.follow(b.db, quick)
	n := 0
	end := func(eventType string, took string) {
		n++
		e := of(example(t, eventType), "/test", fmt.Sprint(n))
		// received so long before the server stores the outcome
		var received string
		if err := b.db.QueryRow(t.Context(), "SELECT to_char((now() - $1::interval) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')", took).Scan(&received); err != nil {
			t.Fatal(err)
		}
		operation := map[string]any{"commandType": "io.mailwright.mailbox.create.v1", "key": "k", "receivedAt": received, "attempt": 1, "fingerprint": strings.Repeat("0", 64)}
		b.result(with(t, e, map[string]any{"operation": operation}))
	}
	for range 8 {
		end(event.TypeMailboxCreated, "60 s")
	}
	b.caughtUp(b.db) // the rest comes in another batch
	end(event.TypeMailboxCreated, "600 s")
	end(event.TypeMailboxCreated, "6000 s")
	end(event.FailedType(event.DomainMailbox), "1 day")
	end(event.FailedType(event.DomainMailbox), "2 days")
	end(event.RejectedType(event.DomainMailbox), "1 s")
	b.event(topology.CommandSubject("contoso", event.DomainMailbox, "k"), of(example(t, event.TypeMailboxCreate), "/test", "open"))
	b.await(`{"sum": 2, "state": "failed"}
{"sum": 1, "state": "received"}
{"sum": 1, "state": "rejected"}
{"sum": 10, "state": "succeeded"}`, "SELECT state, sum(operations) FROM mailwright_views.operations_by_hour WHERE domain = 'mailbox' GROUP BY 1 ORDER BY 1")
	b.await(`{"state": "failed", "operations": 2}
{"state": "received", "operations": 1}
{"state": "rejected", "operations": 1}
{"state": "succeeded", "operations": 10}`, "SELECT state, operations FROM mailwright_views.operations_by_state WHERE domain = 'mailbox' ORDER BY 1")
	b.await(`{"operations": 2, "failure_kind": "refused"}
{"operations": 1, "failure_kind": "invalid"}`, "SELECT failure_kind, operations FROM mailwright_views.failures_by_reason ORDER BY 2 DESC")
	b.await(`{"p50": true, "p90": true, "p99": true, "operations": 10}`, `SELECT p50 BETWEEN '52 s' AND '70 s' AS p50, p90 BETWEEN '525 s' AND '680 s' AS p90, p99 BETWEEN '5250 s' AND '6760 s' AS p99, operations
		FROM mailwright_views.durations_by_hour WHERE state = 'succeeded' AND domain = 'mailbox'`)
	b.await(`{"operations": 13}`, "SELECT sum(operations) AS operations FROM mailwright_views.operation_durations")
	stop()
	b.equal(b.verify())
}

func TestWhatAnOperationWaitsForIsTold(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	for _, reason := range []string{event.WaitFailure, event.WaitScheduled, event.WaitConcurrencyLimit, event.WaitBlockedByKey} {
		waiting := map[string]any{"reason": reason}
		if reason == event.WaitBlockedByKey { // behind the others
			waiting["operation"] = map[string]any{
				"commandType": event.TypeMailboxCreate, "key": "jsmith", "receivedAt": "2026-11-21T09:00:01Z", "attempt": 1, "fingerprint": strings.Repeat("0", 64),
			}
		}
		b.result(with(t, of(example(t, event.WaitingType(event.DomainMailbox)), "/test", reason), waiting))
		due := reason != event.WaitBlockedByKey // the operations before it of its key have started
		b.await(fmt.Sprintf(`{"due": %t, "state": "waiting", "waiting_reason": %q}`, due, reason),
			"SELECT state, waiting_reason, next_attempt_at IS NOT NULL AS due FROM mailwright_views.waiting WHERE operation_id = $1", event.OperationID("contoso", "/test", reason))
		b.result(of(example(t, event.StartedType(event.DomainMailbox)), "/test", reason))
		b.await(`{"state": "started", "waiting_reason": ""}`,
			"SELECT state, waiting_reason FROM mailwright_views.waiting WHERE operation_id = $1", event.OperationID("contoso", "/test", reason))
	}
}
