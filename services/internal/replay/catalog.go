package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// bookkeeping are the tables of the live schema in which projections have no rows. They are neither
// compared nor swapped.
var bookkeeping = []string{"schema_version", "checkpoints", "publications", "retention", "erasures"}

// The queries on the catalog run with the live schema as search_path, so that Postgres prints names
// without a schema. The printed statements then run with the replay's schema as search_path.
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
	// Projections look rows up by a key or by a gin index. $1 selects these indexes, or all others,
	// which only readers use.
	indexDefinitions = `SELECT replace(pg_get_indexdef(i.indexrelid, 0, true), ' ON ONLY ', ' ON ')
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am a ON a.oid = x.relam
		WHERE c.relnamespace = '` + projector.Live + `'::regnamespace AND NOT c.relispartition AND c.relname <> 'schema_version' AND (a.amname = 'gin') = $1
		  AND NOT EXISTS (SELECT FROM pg_constraint n WHERE n.conindid = i.indexrelid AND n.contype IN ('p', 'u', 'x'))`
	// jsonb columns are not analyzed: nobody selects rows by them, and to sample them takes longer
	// than all other columns together.
	analyzedColumns = `SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND atttypid <> 'jsonb'::regtype ORDER BY attnum`
	// The largest come first.
	tablesBySize = `SELECT relname::text FROM pg_class c WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> ALL ($2)
		ORDER BY (SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(c.oid)) DESC, relname`
	tableNames = `SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL ($2) ORDER BY relname`
)

// buildTableIndexes builds the indexes of a table that only readers use, and analyzes the table;
// for a partitioned table, those of its partitions too. To build an index after the rows were
// written is faster than to maintain it meanwhile. The vacuum is left to autovacuum, so that the
// rebuild need not wait for it.
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

// sortMemory is the memory to build an index with. It holds the keys of a million rows.
const sortMemory = "256MB"

// clone creates the replay's schema, with empty tables that have the names, columns and keys of the
// live ones. Tables that become the live ones must be logged, or a crash of Postgres would empty
// them.
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

// checkOwner refuses a database user that does not own the live tables: the views could not read
// tables that another user creates.
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

// Tables names the live tables in which projections have rows.
func Tables(ctx context.Context, pool *pgxpool.Pool) (list []string, err error) {
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		list, err = texts(ctx, tx, tableNames, projector.Live, bookkeeping)
		return err
	})
	return list, err
}

// texts runs a query with one text column.
func texts(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]string, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
