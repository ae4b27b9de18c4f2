package projection

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/mailwright/mailwright/services/internal/projector"
)

// table writes rows of type R to a table. The tag db of a field names its column.
type table[R any] struct {
	name string
	key  string // columns of the primary key, separated by commas
	// onConflict says what happens if the table has a row with the same key.
	onConflict conflictPolicy
	// merge gives SQL expressions for columns that are not replaced by the new value, over the
	// names old and excluded.
	merge map[string]string
	// condition is an SQL condition on the rows to write; "" if all rows are written.
	condition string
}

type conflictPolicy int

const (
	replace conflictPolicy = iota // replace the row if the new last_sequence is greater
	keep                          // keep the row
)

// write inserts the rows in one statement, which takes each column as an array. No two rows may
// have the same key; see [lastPerKey].
//
// Tables are named without a schema; the search_path of the connection decides.
func (t table[R]) write(rows []R) (w projector.Write) {
	if len(rows) == 0 {
		return w
	}
	s := t.statement()
	// here, while the batch before is written, and not in the transaction
	args := make([]any, len(s.columns))
	for i, c := range s.columns {
		args[i] = encode(rows, c)
	}
	w.Apply = func(ctx context.Context, tx *projector.Tx) error { return tx.Exec(ctx, s.sql, args...) }
	return w
}

// statement is the statement that inserts rows into a table, and the columns that are its
// arguments.
type statement struct {
	sql     string
	columns []column
}

// statements are those that were needed before. A table may be written in two ways.
var statements sync.Map

type statementKey struct {
	table      string
	onConflict conflictPolicy
}

func (t table[R]) statement() *statement {
	key := statementKey{t.name, t.onConflict}
	if known, ok := statements.Load(key); ok {
		return known.(*statement)
	}
	columns := columns(reflect.TypeFor[R]())
	made, _ := statements.LoadOrStore(key, &statement{t.sql(columns), columns})
	return made.(*statement)
}

// sql is the statement that inserts the rows.
func (t table[R]) sql(columns []column) string {
	names, values, arrays := make([]string, len(columns)), make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i], values[i], arrays[i] = c.name, c.name+c.cast, fmt.Sprintf("$%d::%s[]", i+1, c.element)
	}
	list := strings.Join(names, ", ")
	sql := fmt.Sprintf("INSERT INTO %s AS old (%s) SELECT %s FROM unnest(%s) AS new (%s) WHERE %s ON CONFLICT (%s) DO ",
		t.name, list, strings.Join(values, ", "), strings.Join(arrays, ", "), list, cmp.Or(t.condition, "true"), t.key)
	if t.onConflict != replace {
		return sql + "NOTHING"
	}
	sets := make([]string, len(names))
	for i, n := range names {
		sets[i] = n + " = excluded." + n
		if merged, ok := t.merge[n]; ok {
			sets[i] = n + " = " + merged
		}
	}
	return sql + "UPDATE SET " + strings.Join(sets, ", ") + " WHERE old.last_sequence < excluded.last_sequence"
}

// lastPerKey returns the last row of each key, in the order of rows.
func lastPerKey[R any, K comparable](rows []R, key func(*R) K) []R {
	last := make(map[K]int, len(rows))
	for i := range rows {
		last[key(&rows[i])] = i
	}
	if len(last) == len(rows) {
		return rows
	}
	kept := make([]R, 0, len(last))
	for i := range rows {
		if last[key(&rows[i])] == i {
			kept = append(kept, rows[i])
		}
	}
	return kept
}
