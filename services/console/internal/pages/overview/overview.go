// Package overview is the first page: what runs, waits and failed, how fast and how late, and what
// needs a person now.
package overview

import (
	"context"
	"embed"
	"html/template"
	"slices"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed *.html
var templates embed.FS

// overview reads the page. Counts and charts are kept apart: charts cost more.
type overview struct {
	source page.Source
	counts *page.Cache[[]count]
	charts *page.Cache[charts]
}

// New makes the page.
func New(s page.Source) page.Page {
	o := overview{s, page.NewCache[[]count](time.Second), page.NewCache[charts](chartsLeast)}
	return page.Page{
		Path: "/", Title: "Overview", Nav: "Overview", Templates: templates, Live: []string{"figures", "charts", "attention", "domains"},
		Load: func(ctx context.Context, r *page.Request) (any, error) { return o.load(ctx, r) },
	}
}

const chartsLeast = 5 * time.Second

// count is how many operations of a tenant and domain are in a state: those that are open, or ended
// within a day.
type count struct {
	Tenant, Domain, State string
	Operations            int64
	Oldest                time.Time
}

// line is a row of the table by tenant and domain.
type line struct {
	Tenant, Domain                               string
	Running, Waiting, Unknown, Succeeded, Failed int64
}

// cause is a group of operations that a person may have to look at.
type cause struct {
	What, State, Domain, Text string
	Operations                int64
	Latest                    time.Time
	Link                      string
}

type data struct {
	Total  line
	Lines  []line
	Dead   int64
	Drift  int64
	Oldest time.Time // of those that wait
	Causes []cause
	Spans  []span
	Charts charts
}

func (o overview) load(ctx context.Context, r *page.Request) (data, error) {
	d := data{Spans: spans(r)}
	counts, err := o.counts.Get(ctx, r, "", func(ctx context.Context) ([]count, error) {
		return page.Rows[count](ctx, o.source, `
SELECT tenant, domain, state, sum(operations)::bigint, min(oldest_received_at) FROM operations_by_hour
 WHERE ($1::text[] IS NULL OR tenant = ANY ($1))
   AND (hour > now() - interval '24 hours' OR state IN ('received', 'started', 'waiting', 'unknown'))
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, r.Tenants())
	})
	if err != nil {
		return d, err
	}
	d.sum(counts)
	if d.Dead, err = o.dead(ctx, r); err != nil {
		return d, err
	}
	if d.Drift, err = o.drift(ctx, r); err != nil {
		return d, err
	}
	if d.Causes, err = o.causes(ctx, r); err != nil {
		return d, err
	}
	name := chosen(r)
	d.Charts, err = o.charts.Get(ctx, r, name, func(ctx context.Context) (charts, error) { return o.draw(ctx, r, name) })
	return d, err
}

// sum adds the counts up by tenant and domain.
func (d *data) sum(counts []count) {
	for _, c := range counts {
		i := slices.IndexFunc(d.Lines, func(l line) bool { return l.Tenant == c.Tenant && l.Domain == c.Domain })
		if i < 0 {
			i = len(d.Lines)
			d.Lines = append(d.Lines, line{Tenant: c.Tenant, Domain: c.Domain})
		}
		for _, l := range []*line{&d.Lines[i], &d.Total} {
			switch c.State {
			case "received", "started":
				l.Running += c.Operations
			case "waiting":
				l.Waiting += c.Operations
			case "unknown":
				l.Unknown += c.Operations
			case "succeeded":
				l.Succeeded += c.Operations
			case "failed", "rejected":
				l.Failed += c.Operations
			}
		}
		if c.State == "waiting" && (d.Oldest.IsZero() || c.Oldest.Before(d.Oldest)) {
			d.Oldest = c.Oldest
		}
	}
}

// maxCounted is where a count of rows ends: no page counts a table to its end.
const maxCounted = 1000

type counted struct{ Rows int64 }

func (o overview) dead(ctx context.Context, r *page.Request) (int64, error) {
	n, err := page.Row[counted](ctx, o.source, `
SELECT count(*) FROM (SELECT 1 FROM dead_letters WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) LIMIT $2) first`, r.Tenants(), maxCounted)
	return n.Rows, err
}

func (o overview) drift(ctx context.Context, r *page.Request) (int64, error) {
	n, err := page.Row[counted](ctx, o.source, `
SELECT count(*) FROM (SELECT 1 FROM delegation_drift WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) LIMIT $2) first`, r.Tenants(), maxCounted)
	return n.Rows, err
}

// maxCauses is how many groups the page names; the page "Needs attention" has all.
const maxCauses = 8

// causes are what failed within a day and what is unknown now, by its cause, the latest first.
func (o overview) causes(ctx context.Context, r *page.Request) ([]cause, error) {
	return page.Rows[cause](ctx, o.source, `
(SELECT command_type, state, domain, concat_ws(' ', nullif(failure_vendor, ''), nullif(failure_kind, ''), nullif(failure_code, '')),
        sum(operations)::bigint, max(last_at), '/operations?state=' || state || '&domain=' || domain
   FROM failures_by_hour WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) AND hour > now() - interval '24 hours'
  GROUP BY 1, 2, 3, 4)
UNION ALL
(SELECT command_type, 'unknown', domain, concat_ws(' ', nullif(failure_vendor, ''), nullif(failure_kind, ''), nullif(failure_code, '')),
        count(*), max(failing_since), '/operations?state=unknown'
   FROM (SELECT * FROM waiting WHERE state = 'unknown' AND ($1::text[] IS NULL OR tenant = ANY ($1)) LIMIT $2) doubtful
  GROUP BY 1, 3, 4)
 ORDER BY 6 DESC LIMIT $3`, r.Tenants(), maxCounted, maxCauses)
}

// More says that a count has ended before the rows did.
func (d data) More(n int64) template.HTML {
	if n >= maxCounted {
		return "+"
	}
	return ""
}
