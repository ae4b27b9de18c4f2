package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// ignoredColumns are columns that say when this database did something. They differ from one replay
// to the next.
var ignoredColumns = map[string][]string{"projection_errors": {"recorded_at"}}

// slicesPerTable is the number of slices of a table, by a hash of the key. Checksums are compared
// by slice, and rows are read only from slices that differ.
const slicesPerTable = 1024

// tableShape is the name, primary key and compared columns of a table.
type tableShape struct {
	name    string
	key     []string
	columns []string
}

const tableShapes = `SELECT c.relname,
		ARRAY (SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k (attnum, n) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
			WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.n)::text[],
		ARRAY (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname)::text[]
	FROM pg_class c WHERE c.relnamespace = '` + projector.Live + `'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> ALL ($1)
	ORDER BY c.relname`

// compare compares every live table, as tx sees it, with the replay's, whose rows are committed. It
// leaves out the tables of halted projections.
func (r *run) compare(ctx context.Context, tx pgx.Tx, to targets) ([]Table, error) {
	rows, err := tx.Query(ctx, tableShapes, bookkeeping)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s tableShape, err error) {
		err = row.Scan(&s.name, &s.key, &s.columns)
		s.columns = slices.DeleteFunc(s.columns, func(c string) bool { return slices.Contains(ignoredColumns[s.name], c) })
		return s, err
	})
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(s tableShape) bool { return !to.comparable(s.name) })
	var tables []Table
	err = postgres.InTx(ctx, r.conns[0], func(replayed pgx.Tx) error {
		// The tables are read as a whole. By the connection's setting that costs more than
		// jit_above_cost, and a table without statistics is read by an index.
		if _, err := replayed.Exec(ctx, "SET LOCAL enable_seqscan = on"); err != nil {
			return err
		}
		for _, s := range list {
			table, err := r.compareTable(ctx, s, tx, replayed, to.limits())
			if err != nil {
				return fmt.Errorf("table %s: %w", s.name, err)
			}
			tables = append(tables, table)
		}
		return nil
	})
	return tables, err
}

// applyRetention deletes from the replay the rows that retention has deleted from the live tables,
// as tx sees them, since the replay began.
func (r *run) applyRetention(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, "SELECT table_name, before FROM "+projector.Live+".retention")
	if err != nil {
		return err
	}
	type retained struct {
		Table  string
		Before time.Time
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[retained])
	if err != nil {
		return err
	}
	for _, t := range list {
		sql := "DELETE FROM " + qualifiedNames(Schema, []string{t.Table}) + " WHERE stored_at < $1"
		if _, err := r.conns[0].Exec(ctx, sql, t.Before); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) compareTable(ctx context.Context, s tableShape, live, replayed pgx.Tx, limits map[string]int64) (Table, error) {
	table := Table{Name: s.name, Limits: map[string]int{}}
	var ours, theirs map[int32]sum
	var group errgroup.Group // an error on one side does not cut the other's connection
	group.Go(func() (err error) { ours, err = s.sums(ctx, live, projector.Live); return err })
	group.Go(func() (err error) { theirs, err = s.sums(ctx, replayed, Schema); return err })
	if err := group.Wait(); err != nil {
		return table, err
	}
	table.Live = total(ours)
	table.Replayed = total(theirs)
	var differing []int32
	for i := range int32(slicesPerTable) {
		if ours[i] != theirs[i] {
			differing = append(differing, i)
		}
	}
	if len(differing) == 0 {
		return table, nil
	}
	err := s.merge(ctx, live, replayed, differing, func(d Difference) error {
		why, err := r.reasonNotReplayable(ctx, s.name, d, limits)
		if err != nil {
			return err
		}
		if why != "" {
			table.Limits[why]++
			return nil
		}
		table.Differences++
		if len(table.Examples) < r.Examples {
			table.Examples = append(table.Examples, d)
		}
		return nil
	})
	return table, err
}

// sum is the number of rows in a slice, and the exclusive or of their hashes.
type sum struct{ rows, hash int64 }

func total(sums map[int32]sum) Sum {
	var all sum
	for _, s := range sums {
		all.rows += s.rows
		all.hash ^= s.hash
	}
	return Sum{all.rows, fmt.Sprintf("%016x", uint64(all.hash))}
}

func (s tableShape) slice() string {
	return fmt.Sprintf("(hashtextextended(ROW(%s)::text, 0) & %d)::int", columnList(s.key), slicesPerTable-1)
}

func (s tableShape) sums(ctx context.Context, tx pgx.Tx, schema string) (map[int32]sum, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s, count(*), bit_xor(hashtextextended(ROW(%s)::text, 0)) FROM %s.%s GROUP BY 1",
		s.slice(), columnList(s.columns), schema, pgx.Identifier{s.name}.Sanitize()))
	if err != nil {
		return nil, err
	}
	sums := map[int32]sum{}
	var slice int32
	var one sum
	_, err = pgx.ForEachRow(rows, []any{&slice, &one.rows, &one.hash}, func() error {
		sums[slice] = one
		return nil
	})
	return sums, err
}

// merge reads the rows of some slices on both sides in the order of their keys, and calls report
// for each that differs.
func (s tableShape) merge(ctx context.Context, live, replayed pgx.Tx, differing []int32, report func(Difference) error) error {
	ours, err := s.open(ctx, live, projector.Live, differing)
	if err != nil {
		return err
	}
	defer ours.close()
	theirs, err := s.open(ctx, replayed, Schema, differing)
	if err != nil {
		return err
	}
	defer theirs.close()
	for ours.more || theirs.more {
		var d Difference
		switch {
		case !theirs.more || (ours.more && ours.key < theirs.key):
			d, err = s.difference(Surplus, ours.row, "")
			ours.next()
		case !ours.more || theirs.key < ours.key:
			d, err = s.difference(Missing, theirs.row, "")
			theirs.next()
		default:
			d, err = s.difference(Changed, ours.row, theirs.row)
			same := ours.row == theirs.row
			ours.next()
			theirs.next()
			if same {
				continue
			}
		}
		if err == nil {
			err = report(d)
		}
		if err != nil {
			return err
		}
	}
	if ours.err != nil {
		return ours.err
	}
	return theirs.err
}

// cursor reads rows in the order of their keys. more is false after the last row, and on an error.
type cursor struct {
	rows     pgx.Rows
	key, row string
	more     bool
	err      error
}

func (s tableShape) open(ctx context.Context, tx pgx.Tx, schema string, differing []int32) (*cursor, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT ROW(%[1]s)::text COLLATE "C" AS key, (to_jsonb(t) - $2::text[])::text
		FROM %[2]s.%[3]s t WHERE %[4]s = ANY ($1) ORDER BY 1`,
		columnList(s.key), schema, pgx.Identifier{s.name}.Sanitize(), s.slice()), differing, append([]string{}, ignoredColumns[s.name]...))
	if err != nil {
		return nil, err
	}
	c := &cursor{rows: rows}
	c.next()
	return c, nil
}

func (c *cursor) next() {
	c.more = c.rows.Next()
	if c.more {
		c.err = c.rows.Scan(&c.key, &c.row)
	} else {
		c.err = c.rows.Err()
	}
	c.more = c.more && c.err == nil
}

func (c *cursor) close() { c.rows.Close() }

// difference returns the difference of a row: its key and, for a changed row, the columns that
// differ from the replayed row.
func (s tableShape) difference(kind, row, replayed string) (Difference, error) {
	d := Difference{Kind: kind, Key: map[string]any{}}
	if err := decode(row, &d.row); err != nil {
		return d, err
	}
	for _, k := range s.key {
		d.Key[k] = d.row[k]
	}
	if kind != Changed || row == replayed {
		return d, nil
	}
	var other map[string]any
	if err := decode(replayed, &other); err != nil {
		return d, err
	}
	for _, c := range s.columns {
		if !reflect.DeepEqual(d.row[c], other[c]) {
			d.Columns = append(d.Columns, Column{c, d.row[c], other[c]})
		}
	}
	return d, nil
}

// decode reads a row from JSON. Numbers keep their digits.
func decode(row string, into *map[string]any) error {
	decoder := json.NewDecoder(strings.NewReader(row))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func columnList(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}
