// Package inventory is the mailboxes as they were found last: lists, changes, exports, and the
// inventories that are being taken.
package inventory

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed *.html
var templates embed.FS

// inventory reads the page.
type inventory struct {
	source  page.Source
	tenants *page.Tenants
	charts  *page.Cache[template.HTML]
}

// New makes the page.
func New(s page.Source) page.Page {
	i := inventory{s, page.NewTenants(s), page.NewCache[template.HTML](chartLeast)}
	return page.Page{
		Path: "/inventory", Title: "Inventory", Nav: "Inventory", Templates: templates, Live: []string{"syncs", "changes", "rows"},
		Load:    func(ctx context.Context, r *page.Request) (any, error) { return i.load(ctx, r) },
		Actions: []page.Action{{Path: "/inventory/sync", Do: i.sync}},
		Files:   []page.File{{Path: "/inventory.csv", Serve: i.export}},
	}
}

const (
	// pageRows is how many mailboxes a page shows.
	pageRows   = 50
	chartLeast = 10 * time.Second
)

// list is a choice of mailboxes with an order that an index has.
type list struct {
	Name, Label string
	where       string
	// by is what it is ordered by, of a type of Postgres; descending if desc.
	by, of string
	desc   bool
}

var lists = []list{
	{Name: "", Label: "By name", where: "true", by: "lower(display_name)", of: "text"},
	{Name: "address", Label: "By address", where: "true", by: "lower(email_address)", of: "text"},
	{Name: "changed", Label: "Changed last", where: "true", by: "changed_at", of: "timestamptz", desc: true},
	{Name: "quota", Label: "Near quota", where: "quota_share >= 0.9 AND missing_since IS NULL", by: "quota_share", of: "float8", desc: true},
	{Name: "forwarding", Label: "Forwarding outside", where: "external_email_forwarding_enabled AND missing_since IS NULL", by: "external_forwarding_address_domain", of: "text"},
	{Name: "hold", Label: "Litigation hold", where: "litigation_hold_enabled AND missing_since IS NULL", by: "tenant", of: "text"},
	{Name: "inactive", Label: "Inactive for 30 days", where: "inactive_since < now() - interval '30 days' AND missing_since IS NULL", by: "inactive_since", of: "timestamptz"},
	{Name: "missing", Label: "Missing", where: "missing_since IS NOT NULL", by: "missing_since", of: "timestamptz", desc: true},
}

// mailbox is a row of a list. Place is the value that the list is ordered by.
type mailbox struct {
	Tenant, ID, Name, Address, Type, Status string
	Used, Quota                             *int64
	Share                                   *float64
	Forwarding                              string
	Hold                                    bool
	Inactive, Missing                       *time.Time
	Change                                  string
	Changed                                 time.Time
	Place                                   *string
}

// Percent is the share of the quota that is used.
func (m mailbox) Percent() int {
	if m.Share == nil {
		return 0
	}
	return int(*m.Share * 100)
}

type tab struct {
	list
	Current bool
}

type data struct {
	Operator           bool
	ID                 string // of the command that the form sends: sent twice it is one
	Tabs               []tab
	View, Query        string
	Tenant             string
	Tenants            []string
	Rows               []mailbox
	Newest, Older, CSV string
	Running            []running
	Syncs              []completed
	Changes            template.HTML
}

func (i inventory) load(ctx context.Context, r *page.Request) (any, error) {
	l, err := chosen(r)
	if err != nil {
		return nil, err
	}
	d := data{Operator: r.Person.May(page.Operator), ID: rand.Text(), View: l.Name, Query: strings.TrimSpace(r.Query.Get("q")), Tenant: r.Query.Get("tenant")}
	for _, each := range lists {
		d.Tabs = append(d.Tabs, tab{each, each.Name == l.Name})
	}
	if d.Tenants, err = i.tenants.Names(ctx, r); err != nil {
		return nil, err
	}
	at := cursor{r.Query.Get("after"), r.Query.Get("id")}
	if d.Rows, err = i.read(ctx, r, l, at, pageRows+1); err != nil {
		return nil, err
	}
	if at != (cursor{}) {
		d.Newest = r.With("after", "", "id", "")
	}
	if len(d.Rows) > pageRows {
		d.Rows = d.Rows[:pageRows]
		last := d.Rows[pageRows-1]
		d.Older = r.With("after", last.place(), "id", last.ID)
	}
	d.CSV = strings.Replace(r.With("after", "", "id", ""), "/inventory", "/inventory.csv", 1)
	if err := i.syncs(ctx, r, &d); err != nil {
		return nil, err
	}
	d.Changes, err = i.charts.Get(ctx, r, "", func(ctx context.Context) (template.HTML, error) { return i.draw(ctx, r) })
	return d, err
}

func chosen(r *page.Request) (list, error) {
	for _, l := range lists {
		if l.Name == r.Query.Get("view") {
			return l, nil
		}
	}
	return list{}, page.NotFound("There is no list %q of mailboxes.", r.Query.Get("view"))
}

// cursor is the mailbox behind which a page begins: the value that the list is ordered by, as text,
// and the mailbox's id.
type cursor struct{ place, id string }

func (m mailbox) place() string {
	if m.Place == nil {
		return ""
	}
	return *m.Place
}

// read gives mailboxes of a list behind a cursor. Those without the value that the list is ordered
// by come last: an ordered scan of the index does not reach them from a value.
func (i inventory) read(ctx context.Context, r *page.Request, l list, at cursor, limit int) ([]mailbox, error) {
	var rows []mailbox
	if at.place != "" || at.id == "" {
		var err error
		if rows, err = i.query(ctx, r, l, l.behind(at), at, limit); err != nil || len(rows) == limit || l.of != "text" {
			return rows, err
		}
		at = cursor{}
	}
	rest, err := i.query(ctx, r, l, l.by+" IS NULL AND $4 = '' AND mailbox_id > $5", cursor{id: at.id}, limit-len(rows))
	return append(rows, rest...), err
}

// behind is the condition that a mailbox has a value, and stands behind a cursor.
func (l list) behind(at cursor) string {
	switch {
	case at == (cursor{}):
		return l.by + " IS NOT NULL AND $4 = '' AND $5 = ''"
	case l.desc:
		return fmt.Sprintf("(%s, mailbox_id) < ($4::%s, $5::text)", l.by, l.of)
	}
	return fmt.Sprintf("(%s, mailbox_id) > ($4::%s, $5::text)", l.by, l.of)
}

func (i inventory) query(ctx context.Context, r *page.Request, l list, behind string, at cursor, limit int) ([]mailbox, error) {
	order := ""
	if l.desc {
		order = " DESC"
	}
	return page.Rows[mailbox](ctx, i.source, fmt.Sprintf(`
SELECT tenant, mailbox_id, coalesce(display_name, ''), coalesce(email_address, ''), coalesce(recipient_type, ''), coalesce(status, ''),
       storage_used, prohibit_send_quota, quota_share, coalesce(nullif(external_forwarding_address_domain, ''), forwarding_address_domain, ''),
       coalesce(litigation_hold_enabled, false), inactive_since, missing_since, change, changed_at, (%[1]s)::text AS place
  FROM mailbox_inventory
 WHERE ($1::text[] IS NULL OR tenant = ANY ($1)) AND ($2 = '' OR tenant = $2) AND %[2]s
   AND ($3 = '' OR lower(email_address) = lower($3) OR lower(display_name) = lower($3) OR lower(principal_name) = lower($3) OR lower(alias) = lower($3) OR mailbox_id = $3)
   AND %[3]s
 ORDER BY %[1]s%[4]s, mailbox_id%[4]s LIMIT $6`, l.by, l.where, behind, order),
		r.Tenants(), r.Query.Get("tenant"), strings.TrimSpace(r.Query.Get("q")), at.place, at.id, limit)
}
