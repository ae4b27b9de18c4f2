package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// conditions gathers what a WHERE clause asks, and the values of its placeholders.
type conditions struct {
	terms []string
	args  []any
}

// add adds a term, with $ in the place of each value.
func (c *conditions) add(term string, values ...any) {
	for _, v := range values {
		c.args = append(c.args, v)
		term = strings.Replace(term, "$", fmt.Sprintf("\x00%d", len(c.args)), 1)
	}
	c.terms = append(c.terms, strings.ReplaceAll(term, "\x00", "$"))
}

func (c *conditions) where() string {
	if len(c.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.terms, " AND ")
}

// stream runs a query whose last column is the row as JSON, and hands its rows on as they come: a
// listing of any length takes no memory.
func stream(ctx context.Context, conn *pgx.Conn, sql string, args []any, to printer) (rows int, err error) {
	found, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return 0, postgresError(err)
	}
	defer found.Close()
	for found.Next() {
		values, err := found.Values()
		if err != nil {
			return rows, postgresError(err)
		}
		last := len(values) - 1
		document, err := json.Marshal(values[last])
		if err != nil {
			return rows, err
		}
		if err := to.row(record{values[:last], document}); err != nil {
			return rows, err
		}
		rows++
	}
	if err := found.Err(); err != nil {
		return rows, postgresError(err)
	}
	return rows, to.end()
}

func postgresError(err error) error { return fmt.Errorf("Postgres: %w", app.ExplainPostgres(err)) }
