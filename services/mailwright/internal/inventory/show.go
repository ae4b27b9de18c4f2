package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Show is `mailwright inventory show`.
type Show struct {
	Mailbox string `arg:"" help:"Its address, user principal name, alias, display name or EnPower id, in any case."`
	Tenant  string `env:"-" help:"Of this configured tenant."`
	Output
}

// Help implements kong.HelpProvider.
func (Show) Help() string {
	return `Prints the vendor's facts and when an inventory found them. Empty members are left out. Of a missing mailbox these
are the last known facts. If several mailboxes have the name, each is shown.`
}

var showColumns = []column{{name: "member", width: 34}, {name: "value"}}

// Run shows.
func (c *Show) Run(ctx context.Context, a *app.App) error {
	conn, err := a.Postgres(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	w := &conditions{}
	w.add(`(lower(email_address) = lower($) OR lower(display_name) = lower($) OR lower(principal_name) = lower($)
		OR lower(alias) = lower($) OR mailbox_id = $)`,
		c.Mailbox, c.Mailbox, c.Mailbox, c.Mailbox, c.Mailbox)
	if c.Tenant != "" {
		w.add("tenant = $", c.Tenant)
	}
	sql := "SELECT to_json(m)::text FROM mailwright_views.mailbox_inventory m" + w.where() + " ORDER BY tenant, mailbox_id"
	rows, _ := conn.Query(ctx, sql, w.args...)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return postgresError(err)
	}
	if len(found) == 0 {
		return errors.New("no inventory has found such a mailbox")
	}
	for i, document := range found {
		if i > 0 && !a.JSON && !c.CSV {
			_, _ = fmt.Fprintln(a.Out)
		}
		if err := c.print(a, document); err != nil {
			return err
		}
	}
	return nil
}

// print prints one mailbox: its members in the order of the view.
func (c *Show) print(a *app.App, document string) error {
	to := c.printer(a, showColumns)
	if a.JSON {
		return to.row(record{document: json.RawMessage(document)})
	}
	members := json.NewDecoder(strings.NewReader(document))
	_, _ = members.Token() // the object begins
	for members.More() {
		name, err := members.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := members.Decode(&value); err != nil {
			return err
		}
		if text := plain(value); text != "" {
			if err := to.row(record{values: []any{name, render.OneLine(text)}}); err != nil {
				return err
			}
		}
	}
	return to.end()
}

// plain writes a JSON value for people: a text without its quotes, "" for what says nothing.
func plain(value json.RawMessage) string {
	var s string
	switch {
	case string(value) == "null":
		return ""
	case json.Unmarshal(value, &s) == nil:
		return s
	default:
		return string(value)
	}
}
