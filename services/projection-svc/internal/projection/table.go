package projection

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5"
)

// table writes rows of type R, whose fields name their columns by the tag db.
type table[R any] struct {
	name string
	key  string // columns of the primary key, as in SQL
	// existing says what happens to a row that is there already: keep it, or replace it by a newer one.
	existing policy
	// merge gives columns that are not simply replaced: SQL over the names old and excluded.
	merge map[string]string
}

type policy int

const (
	replace policy = iota // where last_sequence is greater
	keep
)

// write brings the rows in by COPY to a table of the session and one INSERT from there: two to three times as
// fast as an INSERT each. No two rows may have the same key: see [latest].
func (t table[R]) write(ctx context.Context, tx pgx.Tx, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	names := columns(reflect.TypeFor[R]())
	prepare := fmt.Sprintf("CREATE TEMP TABLE IF NOT EXISTS new_%[1]s (LIKE mailwright.%[1]s INCLUDING DEFAULTS) ON COMMIT DELETE ROWS; DELETE FROM pg_temp.new_%[1]s", t.name)
	if _, err := tx.Exec(ctx, prepare); err != nil {
		return err
	}
	source := pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return values(reflect.ValueOf(rows[i]), nil), nil })
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "new_" + t.name}, names, source); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, t.insert(names))
	return err
}

func (t table[R]) insert(names []string) string {
	list := strings.Join(names, ", ")
	sql := fmt.Sprintf("INSERT INTO mailwright.%[1]s AS old (%[2]s) SELECT %[2]s FROM pg_temp.new_%[1]s ON CONFLICT (%[3]s) DO ", t.name, list, t.key)
	if t.existing == keep {
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

// columns lists the columns of a row type, those of embedded structs included.
func columns(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, columns(f.Type)...)
		} else if name := f.Tag.Get("db"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func values(v reflect.Value, list []any) []any {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			list = values(v.Field(i), list)
		} else if f.Tag.Get("db") != "" {
			list = append(list, v.Field(i).Interface())
		}
	}
	return list
}

// latest keeps the last row of each key, in the order of those.
func latest[R any, K comparable](rows []R, key func(R) K) []R {
	last := make(map[K]int, len(rows))
	for i, r := range rows {
		last[key(r)] = i
	}
	kept := make([]R, 0, len(last))
	for i, r := range rows {
		if last[key(r)] == i {
			kept = append(kept, r)
		}
	}
	return kept
}
