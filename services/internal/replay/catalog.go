package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/internal/projector"
)

// bookkeeping are tables of the live schema that no projection writes rows of: they are neither
// compared nor swapped.
var bookkeeping = []string{"schema_version", "checkpoints", "publications", "retention"}

// All queries on the catalog run with the live schema as search_path, so that Postgres prints names
// without it, and what it prints means the replay's schema where that is the search_path.
const (
	useLiveSchema   = "SET LOCAL search_path = " + projector.Live
	useReplaySchema = "SET LOCAL search_path = " + Schema

	// Partitioned tables come before their partitions.
	tableDefinitions = `SELECT format(
			CASE WHEN c.relispartition THEN 'CREATE %s TABLE %I PARTITION OF %I %s' ELSE 'CREATE %s TABLE %I (LIKE ` + projector.Live + `.%I INCLUDING ALL EXCLUDING INDEXES)%s' END,
			CASE WHEN c.relkind = 'r' AND NOT $1 THEN 'UNLOGGED' ELSE '' END,
			c.relname,
			CASE WHEN c.relispartition THEN parent.relname ELSE c.relname END,
			CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) WHEN c.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(c.oid) ELSE '' END)
		FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
		WHERE c.relnamespace = '` + projector.Live + `'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_version'
		ORDER BY c.relispartition, c.oid`
	tableComments = `SELECT format('COMMENT ON TABLE %I IS %L', relname, obj_description(oid, 'pg_class')) FROM pg_class
		WHERE relnamespace = '` + projector.Live + `'::regnamespace AND relkind IN ('r', 'p') AND obj_description(oid, 'pg_class') IS NOT NULL AND relname <> 'schema_version'`
	// Keys come before what refers to them.
	constraintDefinitions = `SELECT format('ALTER TABLE %I ADD CONSTRAINT %I %s', c.relname, n.conname, pg_get_constraintdef(n.oid))
		FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
		WHERE c.relnamespace = '` + projector.Live + `'::regnamespace AND n.contype IN ('p', 'u', 'f') AND n.conparentid = 0 AND NOT c.relispartition AND c.relname <> 'schema_version'
		ORDER BY n.contype = 'f', n.oid`
	// A projection looks rows up by a key, or by an index of names (gin); the other indexes are for
	// readers.
	indexDefinitions = `SELECT replace(pg_get_indexdef(i.indexrelid, 0, true), ' ON ONLY ', ' ON ')
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am a ON a.oid = x.relam
		WHERE c.relnamespace = '` + projector.Live + `'::regnamespace AND NOT c.relispartition AND c.relname <> 'schema_version' AND (a.amname = 'gin') = $1
		  AND NOT EXISTS (SELECT FROM pg_constraint n WHERE n.conindid = i.indexrelid AND n.contype IN ('p', 'u', 'x'))`
	// Documents are read and not selected by: to sort some of them for the planner takes longer
	// than all else that it is to know.
	analyzedColumns = `SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND atttypid <> 'jsonb'::regtype ORDER BY attnum`
	// The largest come first.
	tablesBySize = `SELECT relname::text FROM pg_class c WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> ALL ($2)
		ORDER BY (SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(c.oid)) DESC, relname`
	tableNames = `SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL ($2) ORDER BY relname`
)

// buildIndexes makes a table's indexes for readers, which cost less to make at once than to keep while
// rows are written, and has the planner know of it; partitions go with their table. To vacuum is
// left to autovacuum, which sees that rows were inserted: a rebuild has no reason to wait for it.
func buildTableIndexes(ctx context.Context, tx pgx.Tx, table string) error {
	if _, err := tx.Exec(ctx, useLiveSchema); err != nil {
		return err
	}
	statements, err := texts(ctx, tx, indexDefinitions+" AND c.relname = $2 ORDER BY i.indexrelid", false, table)
	if err != nil {
		return err
	}
	columns, err := texts(ctx, tx, analyzedColumns, table)
	if err != nil {
		return err
	}
	statements = append([]string{useReplaySchema, "SET LOCAL maintenance_work_mem = '" + sortMemory + "'"}, statements...)
	statements = append(statements, fmt.Sprintf("ANALYZE %s (%s)", pgx.Identifier{table}.Sanitize(), strings.Join(columns, ", ")))
	_, err = tx.Exec(ctx, strings.Join(statements, "; "))
	return err
}

// sortMemory takes the keys of a million rows.
const sortMemory = "256MB"

// clone makes the replay's schema, with the same tables and keys under the same names, all empty.
// Logged tables survive a crash of Postgres, as those must that are to be the live ones.
func clone(ctx context.Context, tx pgx.Tx, logged bool) error {
	if err := checkOwner(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DROP SCHEMA IF EXISTS "+Schema+" CASCADE; CREATE SCHEMA "+Schema+"; "+useLiveSchema); err != nil {
		return err
	}
	tables, err := texts(ctx, tx, tableDefinitions, logged)
	if err != nil {
		return err
	}
	statements := tables
	for _, sql := range []string{tableComments, constraintDefinitions} {
		more, err := texts(ctx, tx, sql)
		if err != nil {
			return err
		}
		statements = append(statements, more...)
	}
	lookups, err := texts(ctx, tx, indexDefinitions+" ORDER BY i.indexrelid", true)
	if err != nil {
		return err
	}
	statements = append(statements, lookups...)
	statements = append(statements, "INSERT INTO retention SELECT * FROM "+projector.Live+".retention")
	_, err = tx.Exec(ctx, useReplaySchema+"; "+strings.Join(statements, "; "))
	return err
}

// checkOwner refuses a user that does not own the tables: rows of a table that it makes could not be
// read through the views.
func checkOwner(ctx context.Context, tx pgx.Tx) error {
	var user string
	if err := tx.QueryRow(ctx, "SELECT current_user").Scan(&user); err != nil {
		return err
	}
	owners, err := texts(ctx, tx, "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = '"+projector.Live+"'")
	if err != nil {
		return err
	}
	if others := slices.DeleteFunc(owners, func(o string) bool { return o == user }); len(others) > 0 {
		return fmt.Errorf("the tables belong to %s, and this is %s: give --database-url with the user of projection-svc", strings.Join(others, ", "), user)
	}
	return nil
}

func texts(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]string, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
