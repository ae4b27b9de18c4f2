package demo

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// queries are those that the demo prints, as an operator might type them.
var queries = []struct{ title, sql string }{
	{"Operations", `SELECT domain, state, operations FROM mailwright_views.operations_by_state ORDER BY domain, state`},
	{"Directory objects", `SELECT object_type, name FROM mailwright_views.directory_objects ORDER BY created_at, name`},
	{"Mailboxes", `SELECT primary_smtp_address AS address, alias,
			coalesce(nullif(database_name, ''), plan_name) AS database_or_plan
		FROM mailwright_views.mailboxes ORDER BY 1`},
	{"Who may send on behalf of alex@contoso.com", `SELECT delegate, delegate_display_name AS name, source
		FROM mailwright_views.delegates
		WHERE lower(mailbox) = 'alex@contoso.com' OR mailbox_address = 'alex@contoso.com' ORDER BY delegate`},
	{"Inventory", `SELECT recipient_type, count(*) AS mailboxes, sum(item_count)::bigint AS items
		FROM mailwright_views.mailbox_inventory GROUP BY recipient_type ORDER BY recipient_type`},
	{"EnPower's documented sample", `SELECT display_name, recipient_type, status, item_count,
			issue_warning_quota, first_scan_time
		FROM mailwright_views.mailbox_inventory WHERE mailbox_id = 'f78625f8-3ec3-4665-835a-3502484af738'`},
}

// printProjections waits until the rows have caught up with the outcomes, and prints some of them.
func printProjections(ctx context.Context, a *app.App, runs []*run) error {
	db, err := pgx.Connect(ctx, a.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	if err := awaitRows(ctx, db, len(runs)); err != nil {
		return err
	}
	for _, l := range queries {
		fmt.Fprintf(a.Out, "\n%s\n", l.title)
		if err := printRows(ctx, a, db, l.sql); err != nil {
			return fmt.Errorf("%s: %w", l.title, err)
		}
	}
	return nil
}

func awaitRows(ctx context.Context, db *pgx.Conn, commands int) error {
	for {
		var finished int
		err := db.QueryRow(ctx, `SELECT count(*) FROM mailwright_views.operations WHERE finished_at IS NOT NULL`).Scan(&finished)
		if err != nil || finished >= commands {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d operations have their outcome in mailwright.operations: %w", finished, commands, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func printRows(ctx context.Context, a *app.App, db *pgx.Conn, sql string) error {
	rows, err := db.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	var names []string
	for _, f := range rows.FieldDescriptions() {
		names = append(names, strings.ToUpper(strings.ReplaceAll(f.Name, "_", " ")))
	}
	fmt.Fprintln(w, "  "+strings.Join(names, "\t"))
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = cell(v)
		}
		fmt.Fprintln(w, "  "+strings.Join(texts, "\t"))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return w.Flush()
}

func cell(v any) string {
	if v == nil {
		return ""
	}
	if t, ok := v.(time.Time); ok {
		return t.UTC().Format(time.DateTime)
	}
	if s, ok := v.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprint(v)
}
