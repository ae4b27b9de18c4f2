package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Diff is `mailwright inventory diff`.
type Diff struct {
	From   string   `arg:"" optional:"" help:"An inventory: its operation's id, or the beginning of it. Alone: what this one found."`
	To     string   `arg:"" optional:"" help:"A later one: what was found after the first, up to this one."`
	Since  string   `env:"-" placeholder:"24h|TIME" help:"What was found since then, in the place of inventories."`
	Tenant string   `env:"-" help:"Only this configured tenant."`
	Change []string `enum:"new,changed,returned,missing" env:"-" help:"Only these: new, changed, returned, missing."`
	Output
}

// Help implements kong.HelpProvider.
func (Diff) Help() string {
	return `Each mailbox has one line, with the latest finding about it: new, changed (with the old and the new value of each
member), returned, or missing. Of a mailbox that changed twice, only the latest change is known in detail. The
last line says how many changes the inventories counted, and how many of them later ones have replaced.

  mailwright inventory diff --since 24h
  mailwright inventory diff fvqzmybj --change missing --csv
  mailwright inventory diff fvqzmybj q3mtd2ka --json`
}

var diffColumns = []column{
	{name: "changed_at", width: 19},
	{name: "tenant", width: 12},
	{name: "change", width: 8},
	{name: "mailbox", width: 36},
	{name: "what"},
}

// syncRow is an inventory, as far as a diff needs it.
type syncRow struct {
	ID                              string
	Tenant                          string
	StartedAt, CompletedAt          time.Time
	New, Changed, Returned, Missing int64
}

// Run prints the differences.
func (c *Diff) Run(ctx context.Context, a *app.App) error {
	if (c.From == "") == (c.Since == "") {
		return app.Usage("want one or two inventories, by the beginnings of their ids, or --since 24h")
	}
	conn, err := a.Postgres(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	syncs, err := c.syncs(ctx, conn)
	if err != nil {
		return err
	}
	w := &conditions{}
	ids := make([]string, len(syncs))
	for i, s := range syncs {
		ids[i] = s.ID
	}
	w.add("sync_id = ANY($)", ids)
	if len(syncs) > 0 { // for the index; a resumed attempt may have begun a week before
		w.add("changed_at >= $", syncs[0].StartedAt.AddDate(0, 0, -7))
	} else {
		w.add("false") // otherwise all mailboxes would be read
	}
	if c.Tenant != "" {
		w.add("tenant = $", c.Tenant)
	}
	if len(c.Change) > 0 {
		w.add("change = ANY($)", c.Change)
	}
	to := c.printer(a, diffColumns)
	const columns = `SELECT changed_at, tenant, change, coalesce(email_address, display_name, mailbox_id),
			jsonb_build_object('previous', previous, 'facts', to_jsonb(m)), to_jsonb(m)
		FROM mailwright_views.mailbox_inventory m`
	sql := columns + w.where() + " ORDER BY changed_at, tenant, mailbox_id"
	rows, err := stream(ctx, conn, sql, w.args, changePrinter{to})
	if err != nil {
		return err
	}
	return c.summary(a, syncs, rows)
}

// changePrinter describes the changed members of a mailbox in the last column.
type changePrinter struct{ printer }

func (p changePrinter) row(r record) error {
	last := len(r.values) - 1
	if detail, ok := r.values[last].(map[string]any); ok {
		previous, _ := detail["previous"].(map[string]any)
		facts, _ := detail["facts"].(map[string]any)
		r.values[last] = differences(previous, facts)
	}
	return p.printer.row(r)
}

// differences lists each member that has changed: "itemCount 41 -> 56".
func differences(previous, facts map[string]any) string {
	var list []string
	for _, member := range slices.Sorted(maps.Keys(previous)) {
		list = append(list, fmt.Sprintf("%s %s -> %s", member, value(previous[member]), value(facts[snake(member)])))
	}
	return strings.Join(list, "; ")
}

func value(v any) string {
	if v == nil {
		return "none"
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(raw)
}

// snake is the view's name of a member of the vendor's.
func snake(member string) string {
	var out strings.Builder
	for _, r := range member {
		if 'A' <= r && r <= 'Z' {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToLower(out.String())
}

const syncColumns = "SELECT operation_id, tenant, started_at, completed_at, new, changed, returned, missing " +
	"FROM mailwright_views.inventory_syncs"

// syncs are the inventories that the diff is about, the earliest first.
func (c *Diff) syncs(ctx context.Context, conn *pgx.Conn) ([]syncRow, error) {
	w := &conditions{}
	if c.Since != "" {
		at, err := app.Ago(c.Since, time.Now())
		if err != nil {
			return nil, app.Usage("--since %s: %w", c.Since, err)
		}
		w.add("completed_at >= $", at)
	} else {
		from, err := find(ctx, conn, c.From)
		if err != nil {
			return nil, err
		}
		if c.To == "" {
			return []syncRow{from}, nil
		}
		to, err := find(ctx, conn, c.To)
		switch {
		case err != nil:
			return nil, err
		case from.Tenant != to.Tenant:
			return nil, app.Usage("the inventories are of two tenants, %q and %q", from.Tenant, to.Tenant)
		case to.CompletedAt.Before(from.CompletedAt):
			return nil, app.Usage("%s was taken before %s", c.To, c.From)
		}
		w.add("tenant = $", from.Tenant)
		w.add("completed_at > $", from.CompletedAt)
		w.add("completed_at <= $", to.CompletedAt)
	}
	if c.Tenant != "" {
		w.add("tenant = $", c.Tenant)
	}
	rows, _ := conn.Query(ctx, syncColumns+w.where()+" ORDER BY completed_at", w.args...)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[syncRow])
	if err != nil {
		return nil, postgresError(err)
	}
	return found, nil
}

// find reads an inventory by the beginning of its id.
func find(ctx context.Context, conn *pgx.Conn, id string) (syncRow, error) {
	rows, _ := conn.Query(ctx, syncColumns+" WHERE operation_id LIKE $1 ORDER BY operation_id LIMIT 2", escapeLike(id)+"%")
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[syncRow])
	switch {
	case err != nil:
		return syncRow{}, postgresError(err)
	case len(found) == 0:
		return syncRow{}, fmt.Errorf("no completed inventory has the id %s", id)
	case len(found) > 1:
		return syncRow{}, app.Usage("several inventories begin with %s; give more of the id", id)
	}
	return found[0], nil
}

// summary says on standard error what the rows above do not.
func (c *Diff) summary(a *app.App, syncs []syncRow, rows int) error {
	var n, changed, returned, missing int64
	for _, s := range syncs {
		n += s.New
		changed += s.Changed
		returned += s.Returned
		missing += s.Missing
	}
	text := fmt.Sprintf("%s: %s new, %s changed, %s returned, %s missing", plural(len(syncs)),
		render.Thousands(int(n)), render.Thousands(int(changed)), render.Thousands(int(returned)), render.Thousands(int(missing)))
	if replaced := int(n+changed+returned+missing) - rows; replaced > 0 && len(c.Change) == 0 {
		text += fmt.Sprintf("; of these, %s are not listed: something later was found about the mailbox", render.Thousands(replaced))
	}
	_, err := fmt.Fprintln(a.Err, text)
	return err
}

func plural(n int) string {
	if n == 1 {
		return "1 inventory"
	}
	return render.Thousands(n) + " inventories"
}
