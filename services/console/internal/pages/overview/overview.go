// Package overview is the first page: what runs, waits and failed.
package overview

import (
	"context"
	"embed"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed *.html
var templates embed.FS

// New makes the page.
func New(s page.Source) page.Page {
	return page.Page{
		Path: "/", Title: "Overview", Nav: "Overview", Templates: templates, Live: []string{"states"},
		Load: func(ctx context.Context, r *page.Request) (any, error) { return load(ctx, s, r) },
	}
}

// stateCount is how many operations of a domain are in a state.
type stateCount struct {
	Domain, State string
	Operations    int64
	Oldest        *time.Time
	Latest        *time.Time
}

type data struct{ States []stateCount }

func load(ctx context.Context, s page.Source, r *page.Request) (data, error) {
	states, err := page.Rows[stateCount](ctx, s, `
SELECT domain, state, sum(operations)::bigint, min(oldest_received_at), max(latest_update_at)
  FROM operations_by_hour WHERE $1::text[] IS NULL OR tenant = ANY ($1) GROUP BY 1, 2 ORDER BY 1, 2`, r.Tenants())
	return data{states}, err
}
