package inventory

import (
	"cmp"
	"context"
	"crypto/rand"
	"html/template"
	"time"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/chart"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

// running is an inventory that has no outcome yet.
type running struct {
	ID, Tenant, State string
	Received          time.Time
	Seen, Known       *int64
	Pages             *int64
	Failure           string
	Next              *time.Time
}

// Percent is how far it is, by the number of mailboxes that were known before; 0 where none was.
func (r running) Percent() int64 {
	if r.Seen == nil || r.Known == nil || *r.Known == 0 {
		return 0
	}
	return min(100, 100*(*r.Seen)/(*r.Known))
}

// completed is an inventory that was taken.
type completed struct {
	ID, Tenant, Type                      string
	Completed                             time.Time
	Seen, New, Changed, Returned, Missing int64
	Suspect                               bool
	Took                                  time.Duration
}

// maxSyncs is how many inventories the page names.
const maxSyncs = 5

func (i inventory) syncs(ctx context.Context, r *page.Request, d *data) (err error) {
	d.Running, err = page.Rows[running](ctx, i.source, `
SELECT w.operation_id, w.tenant, w.state, w.received_at, (p.data->>'seen')::bigint, (p.data->>'known')::bigint, (p.data->>'pages')::bigint, w.failure_text, w.next_attempt_at
  FROM waiting w LEFT JOIN LATERAL (
    SELECT data FROM operation_events e WHERE e.operation_id = w.operation_id AND e.type = 'io.mailwright.inventory.sync.progress.v1' ORDER BY sequence DESC LIMIT 1) p ON true
 WHERE w.domain = 'inventory' AND w.command_type = 'io.mailwright.inventory.sync.v1' AND ($1::text[] IS NULL OR w.tenant = ANY ($1))
 ORDER BY w.received_at DESC LIMIT $2`, r.Tenants(), maxSyncs)
	if err != nil {
		return err
	}
	d.Syncs, err = page.Rows[completed](ctx, i.source, `
SELECT operation_id, tenant, mailbox_type, completed_at, seen, new, changed, returned, missing, suspect, duration FROM inventory_syncs
 WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) ORDER BY completed_at DESC LIMIT $2`, r.Tenants(), maxSyncs)
	return err
}

// day is what the inventories of a day found.
type day struct {
	Day                             time.Time
	New, Changed, Returned, Missing int64
}

// days is how far back the chart of changes goes.
const days = 30

func (i inventory) draw(ctx context.Context, r *page.Request) (template.HTML, error) {
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-days)
	found, err := page.Rows[day](ctx, i.source, `
SELECT day, sum(new)::bigint, sum(changed)::bigint, sum(returned)::bigint, sum(missing)::bigint FROM inventory_changes_by_day
 WHERE day >= $2 AND ($1::text[] IS NULL OR tenant = ANY ($1)) GROUP BY 1 ORDER BY 1`, r.Tenants(), start)
	if err != nil {
		return "", err
	}
	c := chart.Chart{ID: "changes-chart", Title: "Mailboxes that inventories found new, changed, back or missing, each day", Layout: "Jan 2", Series: []chart.Series{
		{Name: "new", Class: "good"}, {Name: "changed", Class: "busy"}, {Name: "returned", Class: "doubt"}, {Name: "missing", Class: "bad"},
	}}
	for n := range days {
		c.X = append(c.X, start.AddDate(0, 0, n))
		for s := range c.Series {
			c.Series[s].Values = append(c.Series[s].Values, 0)
		}
	}
	for _, f := range found {
		if n := int(f.Day.Sub(start) / (24 * time.Hour)); n >= 0 && n < days {
			for s, value := range []int64{f.New, f.Changed, f.Returned, f.Missing} {
				c.Series[s].Values[n] = float64(value)
			}
		}
	}
	return c.Bars(), nil
}

// sync has an inventory taken.
func (i inventory) sync(ctx context.Context, r *page.Request) (page.Done, error) {
	tenant := r.Form.Get("tenant")
	if !event.ValidTenant(tenant) {
		return page.Done{}, page.Invalid("Say which tenant: a name of a-z, 0-9 and -.")
	}
	if !r.Person.Sees(tenant) {
		return page.Done{}, page.Forbidden("You may not act on tenant %s.", tenant)
	}
	reason, err := act.Reason(r)
	if err != nil {
		return page.Done{}, err
	}
	cmd, err := client.New(tenant, act.SourceOf(r.Person), cmp.Or(r.Form.Get("id"), rand.Text()), event.InventorySyncData{})
	if err != nil {
		return page.Done{}, err
	}
	if _, err := act.Send(ctx, i.source, r.Person, cmd, "inventory", reason); err != nil {
		return page.Done{}, err
	}
	return page.Done{To: "/inventory", Notice: "The inventory of " + tenant + " is being taken."}, nil
}
