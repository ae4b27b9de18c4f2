package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Retention limits the history in operation_events. Whole months are dropped or archived.
type Retention struct {
	Months  int  `name:"history-months" help:"Whole months of history that operation_events keeps beside the current one; 0 keeps all."`
	Archive bool `name:"history-archive" help:"Move months that go to schema mailwright_archive in the place of dropping them."`
}

const (
	historyTable = "operation_events"
	// archiveSchema holds the archived months.
	archiveSchema = "mailwright_archive"
	// monthsAhead is the number of months whose partitions are created before they begin.
	monthsAhead = 2
	// lockTimeout is how long a change of partitions waits for readers of the table. While it
	// waits, new readers wait behind it.
	lockTimeout      = 500 * time.Millisecond
	lockNotAvailable = "55P03"
)

// month is the beginning of the month of a time, in UTC.
func month(t time.Time) time.Time {
	return time.Date(t.UTC().Year(), t.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
}

// partition is the name of a month's partition.
func partition(month time.Time) string { return historyTable + month.Format("_2006_01") }

// Maintain creates the partitions of the months to come, and removes the months that are older than
// the retention.
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
		// Rows in the default partition belong to months without a partition. They are archived
		// too.
		if empty, err := emptyDefault(ctx, tx, before); err != nil || !empty {
			return err
		}
	}
	return detachMonths(ctx, tx, before, o.History.Archive)
}

// emptyDefault moves the rows of the default partition that are older than a time to partitions of
// their months. empty is false if some could not be moved because of readers.
func emptyDefault(ctx context.Context, tx pgx.Tx, before time.Time) (empty bool, err error) {
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
	err = tx.QueryRow(ctx, "SELECT NOT EXISTS ("+held+")", before).Scan(&empty)
	return empty, err
}

// ensureMonths creates the partitions for rows that are about to be written.
func ensureMonths(rows []eventRow) (w projector.Write) {
	var months []time.Time
	var names []string
	for _, r := range rows {
		if m := month(r.StoredAt); len(months) == 0 || !slices.ContainsFunc(months, m.Equal) {
			months, names = append(months, m), append(names, partition(m))
		}
	}
	if len(months) == 0 {
		return w
	}
	var needed []time.Time
	w.Lookup = func(ctx context.Context, tx *projector.Tx) error {
		read := func(rows pgx.Rows) (err error) {
			needed, err = pgx.CollectRows(rows, pgx.RowTo[time.Time])
			return err
		}
		return tx.Query(ctx, "SELECT month FROM unnest($1::timestamptz[], $2::text[]) AS m (month, name) WHERE "+monthIsNeeded, read, months, names)
	}
	w.Apply = func(ctx context.Context, tx *projector.Tx) error {
		for _, m := range needed {
			if err := tx.Nested(ctx, func(tx pgx.Tx) error { return ensureMonth(ctx, tx, m) }); err != nil {
				return err
			}
		}
		return nil
	}
	return w
}

// monthIsNeeded is a condition on a month and the name of its partition.
const monthIsNeeded = "to_regclass(name) IS NULL AND NOT EXISTS (SELECT FROM retention WHERE table_name = '" + historyTable + "' AND before > month)"

// ensureMonth creates the partition of a month, and moves the rows of the month from the default
// partition. If readers hold locks it does nothing, and the rows go to the default partition.
func ensureMonth(ctx context.Context, tx pgx.Tx, m time.Time) error {
	name, next := partition(m), m.AddDate(0, 1, 0)
	var needed bool
	const isNeeded = "SELECT " + monthIsNeeded + " FROM (SELECT $1::text AS name, $2::timestamptz AS month) AS m"
	if err := tx.QueryRow(ctx, isNeeded, name, m).Scan(&needed); err != nil || !needed {
		return err
	}
	bounds := fmt.Sprintf("'%s') TO ('%s'", m.Format(time.RFC3339), next.Format(time.RFC3339))
	return execUnlessLocked(ctx, tx, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
		WITH moved AS (DELETE FROM %[2]s_default WHERE stored_at >= '%[4]s' AND stored_at < '%[5]s' RETURNING *) INSERT INTO %[1]s SELECT * FROM moved;
		ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM (%[3]s)`, name, historyTable, bounds, m.Format(time.RFC3339), next.Format(time.RFC3339)))
}

// detachMonths drops or archives the months that ended before a time, and records the time in the
// table retention.
func detachMonths(ctx context.Context, tx pgx.Tx, before time.Time, archive bool) error {
	rows, err := tx.Query(ctx, `SELECT c.relname, to_regclass('`+archiveSchema+`.' || c.relname) IS NOT NULL FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::regclass AND c.relname ~ '_\d{4}_\d{2}$' AND c.relname < $2 ORDER BY 1`, historyTable, partition(before))
	if err != nil {
		return err
	}
	archived, names := map[string]bool{}, []string{}
	var name string
	var known bool
	_, err = pgx.ForEachRow(rows, []any{&name, &known}, func() error {
		names = append(names, name)
		archived[name] = known
		return nil
	})
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
		// archived before; an older backup of the live schema may have been restored since
		case archived[name]:
			sql += fmt.Sprintf("; INSERT INTO %[1]s.%[2]s SELECT * FROM %[2]s ON CONFLICT DO NOTHING; DROP TABLE %[2]s", archiveSchema, name)
		default:
			sql += fmt.Sprintf("; CREATE SCHEMA IF NOT EXISTS %[1]s; ALTER TABLE %[2]s SET SCHEMA %[1]s", archiveSchema, name)
		}
	}
	return execUnlessLocked(ctx, tx, sql)
}

// execUnlessLocked runs statements: all of them, or none if a lock is not free within lockTimeout.
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
