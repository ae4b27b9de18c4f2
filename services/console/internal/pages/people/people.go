// Package people is what is known of one person or mailbox.
package people

import (
	"context"
	"embed"
	"encoding/json"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed *.html
var templates embed.FS

// New makes the page.
func New(s page.Source) page.Page {
	return page.Page{
		Path: "/people", Title: "People", Nav: "People", Templates: templates, Live: []string{"found"},
		Load: func(ctx context.Context, r *page.Request) (any, error) { return load(ctx, s, r) },
	}
}

// maxRows bounds each list of the page.
const maxRows = 50

type account struct {
	Tenant, Name, Type, UPN, Display, Operation string
	Created                                     time.Time
}

type mailbox struct {
	Tenant, Address, Alias, Database, Plan, Operation string
	Created                                           time.Time
}

type inventoried struct {
	Tenant, Display, Address, Type, Status string
	Used, Quota                            *int64
	Share                                  *float64
	Forwarding                             string
	Hold                                   bool
	LastActivity, Missing                  *time.Time
	Observed                               time.Time
}

// Percent is the share of the quota that is used.
func (i inventoried) Percent() int {
	if i.Share == nil {
		return 0
	}
	return int(*i.Share * 100)
}

type delegate struct {
	Tenant, Mailbox, MailboxName, MailboxAddress, Delegate, DelegateName, Source, Operation string
	Known                                                                                   time.Time
}

type folder struct {
	Tenant, Mailbox, Folder, Delegate string
	Rights                            json.RawMessage
	Source                            string
	Known                             time.Time
}

// Words are the rights, as they are written.
func (f folder) Words() string {
	var list []string
	_ = json.Unmarshal(f.Rights, &list) // the projection wrote it
	return strings.Join(list, ", ")
}

type data struct {
	Query      string
	Operator   bool
	Accounts   []account
	Mailboxes  []mailbox
	Inventory  []inventoried
	MaySend    []delegate // who may send as the mailbox
	SendsAs    []delegate // as whom the person may send
	Folders    []folder
	Operations []page.Operation
}

// Title names the person.
func (d data) Title() string {
	if d.Query == "" {
		return "People"
	}
	return d.Query
}

// Nothing says that nothing is known.
func (d data) Nothing() bool {
	return len(d.Accounts)+len(d.Mailboxes)+len(d.Inventory)+len(d.MaySend)+len(d.SendsAs)+len(d.Folders)+len(d.Operations) == 0
}

func load(ctx context.Context, s page.Source, r *page.Request) (any, error) {
	d := data{Query: strings.TrimSpace(r.Query.Get("q")), Operator: r.Person.May(page.Operator)}
	if d.Query == "" {
		return d, nil
	}
	for _, read := range []func(context.Context, page.Source, *page.Request) error{
		d.accounts, d.mailboxes, d.inventory, d.delegates, d.folders, d.operations,
	} {
		if err := read(ctx, s, r); err != nil {
			return nil, err
		}
	}
	return d, nil
}

const mine = `($1::text[] IS NULL OR tenant = ANY ($1))`

func (d *data) accounts(ctx context.Context, s page.Source, r *page.Request) (err error) {
	d.Accounts, err = page.Rows[account](ctx, s, `
SELECT tenant, name, object_type, upn, display_name, operation_id, created_at FROM directory_objects
 WHERE `+mine+` AND lower(upn) = lower($2)
 ORDER BY created_at DESC LIMIT $3`, r.Tenants(), d.Query, maxRows)
	if err != nil || len(d.Accounts) > 0 {
		return err
	}
	// An account that was made for a command about this person.
	d.Accounts, err = page.Rows[account](ctx, s, `
SELECT a.tenant, a.name, a.object_type, a.upn, a.display_name, a.operation_id, a.created_at
  FROM operations o JOIN directory_objects a USING (operation_id)
 WHERE ($1::text[] IS NULL OR o.tenant = ANY ($1)) AND lower(o.subject) = lower($2) AND o.subject <> '' ORDER BY a.created_at DESC LIMIT $3`,
		r.Tenants(), d.Query, maxRows)
	return err
}

func (d *data) mailboxes(ctx context.Context, s page.Source, r *page.Request) (err error) {
	d.Mailboxes, err = page.Rows[mailbox](ctx, s, `
SELECT tenant, primary_smtp_address, alias, database_name, plan_name, operation_id, created_at FROM mailboxes
 WHERE `+mine+` AND lower(primary_smtp_address) = lower($2) ORDER BY created_at DESC LIMIT $3`, r.Tenants(), d.Query, maxRows)
	return err
}

func (d *data) inventory(ctx context.Context, s page.Source, r *page.Request) (err error) {
	d.Inventory, err = page.Rows[inventoried](ctx, s, `
SELECT tenant, coalesce(display_name, ''), coalesce(email_address, ''), coalesce(recipient_type, ''), coalesce(status, ''), storage_used, prohibit_send_quota, quota_share,
       coalesce(nullif(external_forwarding_address_domain, ''), forwarding_address_domain, ''), coalesce(litigation_hold_enabled, false),
       last_activity_date, missing_since, observed_at
  FROM mailbox_inventory
 WHERE `+mine+` AND (lower(email_address) = lower($2) OR lower(display_name) = lower($2) OR lower(principal_name) = lower($2) OR lower(alias) = lower($2))
 ORDER BY observed_at DESC LIMIT $3`, r.Tenants(), d.Query, maxRows)
	return err
}

const delegateColumns = `SELECT tenant, mailbox, mailbox_display_name, mailbox_address, delegate, delegate_display_name, source, operation_id, known_at FROM delegates WHERE ` + mine

func (d *data) delegates(ctx context.Context, s page.Source, r *page.Request) (err error) {
	d.MaySend, err = page.Rows[delegate](ctx, s, delegateColumns+` AND (tenant, mailbox_key) IN (
   SELECT tenant, mailbox_key FROM delegated_mailboxes WHERE lower(identity) = ANY ($2) OR lower(primary_smtp_address) = ANY ($2))
 ORDER BY delegate LIMIT $3`, r.Tenants(), d.names(), maxRows)
	if err != nil {
		return err
	}
	d.SendsAs, err = page.Rows[delegate](ctx, s, delegateColumns+` AND lower(delegate) = ANY ($2) ORDER BY mailbox LIMIT $3`, r.Tenants(), d.names(), maxRows)
	return err
}

// names are those by which the person or mailbox is known, in lower case.
func (d *data) names() []string {
	list := []string{strings.ToLower(d.Query)}
	for _, i := range d.Inventory {
		if i.Address != "" {
			list = append(list, strings.ToLower(i.Address))
		}
	}
	for _, a := range d.Accounts {
		if a.UPN != "" {
			list = append(list, strings.ToLower(a.UPN))
		}
	}
	for _, m := range d.Mailboxes {
		list = append(list, strings.ToLower(m.Address))
	}
	return list
}

func (d *data) folders(ctx context.Context, s page.Source, r *page.Request) (err error) {
	d.Folders, err = page.Rows[folder](ctx, s, `
SELECT tenant, mailbox, folder, delegate, access_rights, source, known_at FROM folder_permissions
 WHERE `+mine+` AND lower(delegate) = ANY ($2) ORDER BY mailbox, folder LIMIT $3`, r.Tenants(), d.names(), maxRows)
	return err
}

// operations are those about the person, by subject, key, or what they made.
func (d *data) operations(ctx context.Context, s page.Source, r *page.Request) (err error) {
	made := []string{}
	for _, a := range d.Accounts {
		made = append(made, a.Operation)
	}
	for _, m := range d.Mailboxes {
		made = append(made, m.Operation)
	}
	for _, each := range append(d.MaySend, d.SendsAs...) {
		made = append(made, each.Operation)
	}
	key := strings.ToLower(d.Query)
	d.Operations, err = page.Rows[page.Operation](ctx, s, `
SELECT DISTINCT `+page.OperationColumns+`
  FROM ((SELECT * FROM operations WHERE lower(subject) = lower($2) AND subject <> '' ORDER BY received_at DESC LIMIT $6)
        UNION ALL (SELECT * FROM operations WHERE domain = ANY ($3) AND md5(key) = ANY (ARRAY[md5($2), md5(lower($2)), md5($4)]) ORDER BY received_at DESC LIMIT $6)
        UNION ALL (SELECT * FROM operations WHERE operation_id = ANY ($5))) found
 WHERE `+mine+` ORDER BY received_at DESC LIMIT $6`, r.Tenants(), d.Query, event.Domains(), event.Token(key), made, maxRows)
	return err
}
