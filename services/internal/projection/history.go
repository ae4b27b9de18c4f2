package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Retention says how long operation_events keeps history. Whole months go, all at once.
type Retention struct {
	Months  int  `name:"history-months" help:"Whole months of history that operation_events keeps beside the current one; 0 keeps all."`
	Archive bool `name:"history-archive" help:"Move months that go to schema mailwright_archive in the place of dropping them."`
}

const (
	historyTable = "operation_events"
	// archiveSchema takes the months that go and are to be kept.
	archiveSchema = "mailwright_archive"
	// monthsAhead are made before they begin.
	monthsAhead = 2
	// lockTimeout with readers of the table: who waits for them makes all others wait.
	lockTimeout      = 500 * time.Millisecond
	lockNotAvailable = "55P03"
)

// month is the beginning of a time's month.
func month(t time.Time) time.Time {
	return time.Date(t.UTC().Year(), t.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
}

// partition is the name of a month's table.
func partition(month time.Time) string { return historyTable + month.Format("_2006_01") }

// Maintain makes the months to come, and takes out those that retention lets go.
func (o Operations) Maintain(ctx context.Context, tx pgx.Tx, now time.Time) error {
	for i := range monthsAhead + 1 {
		if err := ensureMonth(ctx, tx, month(now).AddDate(0, i, 0)); err != nil {
			return err
		}
	}
	if o.History.Months <= 0 {
		return nil
	}
	before := month(now).AddDate(0, -o.History.Months, 0)
	if o.History.Archive {
		// What stands in the default partition, where months could not be made, is to be kept too.
		if left, err := emptyDefault(ctx, tx, before); err != nil || !left {
			return err
		}
	}
	return detachMonths(ctx, tx, before, o.History.Archive)
}

// emptyDefault makes the months before a time that the default partition has rows of, and tells
// whether none is left there.
func emptyDefault(ctx context.Context, tx pgx.Tx, before time.Time) (left bool, err error) {
	held := "SELECT DISTINCT date_trunc('month', stored_at, 'UTC') FROM " + historyTable + "_default WHERE stored_at < $1"
	rows, _ := tx.Query(ctx, held, before) // CollectRows reports the error
	months, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return false, err
	}
	for _, m := range months {
		if err := ensureMonth(ctx, tx, month(m)); err != nil {
			return false, err
		}
	}
	err = tx.QueryRow(ctx, "SELECT NOT EXISTS ("+held+")", before).Scan(&left)
	return left, err
}

// ensureMonths makes the partitions of rows that are about to be written.
func ensureMonths(rows []eventRow) projector.Write {
	return func(ctx context.Context, tx pgx.Tx) error {
		seen := map[time.Time]bool{}
		for _, r := range rows {
			m := month(r.StoredAt)
			if seen[m] {
				continue
			}
			seen[m] = true
			if err := ensureMonth(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	}
}

// ensureMonth makes a month's partition, with what the default partition holds of it. Where readers
// are in the way it is left for another time: the default partition takes the rows.
func ensureMonth(ctx context.Context, tx pgx.Tx, m time.Time) error {
	name, next := partition(m), m.AddDate(0, 1, 0)
	var needed bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NULL AND NOT EXISTS (SELECT FROM retention WHERE table_name = $2 AND before > $3)", name, historyTable, m).Scan(&needed); err != nil || !needed {
		return err
	}
	bounds := fmt.Sprintf("'%s') TO ('%s'", m.Format(time.RFC3339), next.Format(time.RFC3339))
	return execUnlessLocked(ctx, tx, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
		WITH moved AS (DELETE FROM %[2]s_default WHERE stored_at >= '%[4]s' AND stored_at < '%[5]s' RETURNING *) INSERT INTO %[1]s SELECT * FROM moved;
		ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM (%[3]s)`, name, historyTable, bounds, m.Format(time.RFC3339), next.Format(time.RFC3339)))
}

// detachMonths detaches the months that end by a time, and remembers it.
func detachMonths(ctx context.Context, tx pgx.Tx, before time.Time, archive bool) error {
	rows, err := tx.Query(ctx, `SELECT c.relname, to_regclass('`+archiveSchema+`.' || c.relname) IS NOT NULL FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::regclass AND c.relname ~ '_\d{4}_\d{2}$' AND c.relname < $2 ORDER BY 1`, historyTable, partition(before))
	if err != nil {
		return err
	}
	archived, names := map[string]bool{}, []string{}
	var name string
	var known bool
	_, err = pgx.ForEachRow(rows, []any{&name, &known}, func() error { names, archived[name] = append(names, name), known; return nil })
	if err != nil {
		return err
	}
	sql := fmt.Sprintf(`INSERT INTO retention AS old (table_name, before) VALUES ('%[1]s', '%[2]s') ON CONFLICT (table_name) DO UPDATE SET before = greatest(old.before, excluded.before);
		DELETE FROM %[1]s_default WHERE stored_at < '%[2]s'`, historyTable, before.Format(time.RFC3339))
	for _, name := range names {
		sql += fmt.Sprintf("; ALTER TABLE %s DETACH PARTITION %s", historyTable, name)
		switch {
		case !archive:
			sql += "; DROP TABLE " + name
		case archived[name]: // from before: an older backup of the live schema was restored, say
			sql += fmt.Sprintf("; INSERT INTO %[1]s.%[2]s SELECT * FROM %[2]s ON CONFLICT DO NOTHING; DROP TABLE %[2]s", archiveSchema, name)
		default:
			sql += fmt.Sprintf("; CREATE SCHEMA IF NOT EXISTS %[1]s; ALTER TABLE %[2]s SET SCHEMA %[1]s", archiveSchema, name)
		}
	}
	return execUnlessLocked(ctx, tx, sql)
}

// execUnlessLocked runs statements, all or, where a lock cannot be had soon, none.
func execUnlessLocked(ctx context.Context, tx pgx.Tx, sql string) error {
	err := postgres.InTx(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; %s; SET LOCAL lock_timeout = DEFAULT", lockTimeout.Milliseconds(), sql))
		return err
	})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == lockNotAvailable {
		return nil
	}
	return err
}
