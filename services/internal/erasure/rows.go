package erasure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// countRows counts the rows of the projections that name the person. A row may outlive the messages
// that it was made from.
func (c Config) countRows(ctx context.Context) (n uint64, err error) {
	c.report("reading rows")
	tables, err := replay.Tables(ctx, c.Pool)
	if err != nil {
		return 0, err
	}
	match := NewMatcher(c.Match)
	var patterns []string
	for _, text := range c.Match {
		patterns = append(patterns, "%"+likeLiteral(text)+"%", "%"+likeLiteral(event.Token(text))+"%")
	}
	for _, table := range tables {
		name := pgx.Identifier{projector.Live, table}.Sanitize()
		rows, _ := c.Pool.Query(ctx, "SELECT coalesce(to_jsonb(t) ->> 'tenant', ''), to_jsonb(t)::text FROM "+name+" t WHERE to_jsonb(t)::text ILIKE ANY ($1)", patterns)
		var tenant, row string
		_, err := pgx.ForEachRow(rows, []any{&tenant, &row}, func() error {
			if match.Body([]byte(row)) && (len(c.Tenants) == 0 || tenant == "" || slices.Contains(c.Tenants, tenant)) {
				n++
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("read table %s: %w", table, err)
		}
	}
	return n, nil
}

// likeLiteral is a pattern of LIKE that matches a text alone.
func likeLiteral(text string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)
}
