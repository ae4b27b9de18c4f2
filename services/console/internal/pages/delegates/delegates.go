// Package delegates is who may send on behalf of whom, and what is not as commands left it.
package delegates

import (
	"context"
	"embed"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed *.html
var templates embed.FS

// New makes the pages: the lists, and the form that takes a delegate from a mailbox.
func New(s page.Source) []page.Page {
	return []page.Page{
		{
			Path: "/delegates", Title: "Delegates", Nav: "Delegates", Templates: templates, Live: []string{"rows"},
			Load: func(ctx context.Context, r *page.Request) (any, error) { return load(ctx, s, r) },
		},
		{
			Path: "/delegates/remove", Title: "Take a delegate away", Under: "/delegates", Least: page.Operator, Templates: removal{},
			Load:    func(_ context.Context, r *page.Request) (any, error) { return readRemoval(r.Person, r.Query) },
			Actions: []page.Action{{Path: "/delegates/remove", Do: func(ctx context.Context, r *page.Request) (page.Done, error) { return remove(ctx, s, r) }}},
		},
	}
}

// maxRows is how many rows a page shows.
const maxRows = 100

type delegate struct {
	Tenant, Mailbox, MailboxName, MailboxAddress, Delegate, DelegateName, Source, Operation string
	Known                                                                                   time.Time
}

type drifted struct {
	Tenant, Mailbox, Delegate, Kind string
	Since                           time.Time
	SetBy                           string
	SetAt                           time.Time
	SeenBy                          string
	SeenAt                          time.Time
}

type many struct {
	Tenant, Delegate string
	Mailboxes        int64
	Known            *time.Time
}

type tab struct {
	Name, Label string
	Current     bool
}

type data struct {
	View, Query string
	Operator    bool
	Tabs        []tab
	Delegates   []delegate
	Drift       []drifted
	Many        []many
	Older       string
}

func load(ctx context.Context, s page.Source, r *page.Request) (any, error) {
	d := data{View: r.Query.Get("view"), Query: strings.TrimSpace(r.Query.Get("q")), Operator: r.Person.May(page.Operator)}
	for _, t := range []tab{{Name: "", Label: "By mailbox or delegate"}, {Name: "drift", Label: "Drift"}, {Name: "many", Label: "Delegates of many"}} {
		t.Current = t.Name == d.View
		d.Tabs = append(d.Tabs, t)
	}
	var err error
	switch d.View {
	case "drift":
		err = d.drift(ctx, s, r)
	case "many":
		d.Many, err = page.Rows[many](ctx, s, `
SELECT tenant, delegate, mailboxes, known_at FROM mailboxes_by_delegate WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) ORDER BY mailboxes DESC, tenant, delegate LIMIT $2`,
			r.Tenants(), maxRows)
	case "":
		err = d.list(ctx, s, r)
	default:
		err = page.NotFound("There is no list %q of delegates.", d.View)
	}
	return d, err
}

func (d *data) list(ctx context.Context, s page.Source, r *page.Request) (err error) {
	if d.Query == "" {
		d.Delegates, err = page.Rows[delegate](ctx, s, columns+` ORDER BY tenant, mailbox_key, delegate LIMIT $2`, r.Tenants(), maxRows)
		return err
	}
	d.Delegates, err = page.Rows[delegate](ctx, s, columns+` AND (lower(delegate) = lower($2) OR (tenant, mailbox_key) IN (
   SELECT tenant, mailbox_key FROM delegated_mailboxes WHERE lower(identity) = lower($2) OR lower(primary_smtp_address) = lower($2)))
 ORDER BY mailbox, delegate LIMIT $3`, r.Tenants(), d.Query, maxRows)
	return err
}

const columns = `
SELECT tenant, mailbox, mailbox_display_name, mailbox_address, delegate, delegate_display_name, source, operation_id, known_at FROM delegates
 WHERE ($1::text[] IS NULL OR tenant = ANY ($1))`

// drift gives the latest differences first. A page goes on behind the time of its last one.
func (d *data) drift(ctx context.Context, s page.Source, r *page.Request) error {
	before, err := time.Parse(time.RFC3339Nano, r.Query.Get("before"))
	if err != nil {
		before = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	d.Drift, err = page.Rows[drifted](ctx, s, `
SELECT tenant, mailbox, delegate, kind, since, coalesce(set_operation_id, ''), set_at, coalesce(observed_operation_id, ''), observed_at FROM delegation_drift
 WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) AND since < $2 ORDER BY since DESC, tenant, mailbox, delegate LIMIT $3`, r.Tenants(), before, maxRows)
	if err == nil && len(d.Drift) == maxRows {
		d.Older = r.With("before", d.Drift[maxRows-1].Since.UTC().Format(time.RFC3339Nano))
	}
	return err
}
