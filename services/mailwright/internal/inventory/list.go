package inventory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// List is `mailwright inventory ls`.
type List struct {
	Match        string  `arg:"" optional:"" help:"A part of address, user principal name or display name, in any case."`
	Tenant       string  `env:"-" help:"Only this configured tenant."`
	Domain       string  `env:"-" help:"Only this tenant's domain, as EnPower names it."`
	Type         string  `env:"-" placeholder:"TYPE" help:"Only this type: user, shared, room, equipment, or the vendor's text."`
	Status       string  `env:"-" placeholder:"TEXT" help:"Only this status, such as Archived."`
	NearQuota    float64 `env:"-" placeholder:"SHARE" help:"Only those that use at least this share of their send quota, such as 0.9."`
	Forwarding   bool    `env:"-" help:"Only those that forward outside."`
	Hold         bool    `env:"-" help:"Only those on litigation hold."`
	Inactive     string  `env:"-" placeholder:"2160h|TIME" help:"Only those without activity since then, or since their creation."`
	Missing      bool    `env:"-" xor:"presence" help:"Only those that are missing, with their last known facts."`
	All          bool    `env:"-" xor:"presence" help:"Also those that are missing. Default: only those that are there."`
	ChangedSince string  `env:"-" placeholder:"24h|TIME" help:"Only those that changed since then; new and returned ones count."`
	Limit        int     `env:"-" placeholder:"N" help:"At most so many."`
	Output
}

// Help implements kong.HelpProvider.
func (List) Help() string {
	return `Rows are printed as Postgres gives them, by tenant and address. --json prints every column, one document a line;
the table and CSV print the main ones. Sizes are in MiB, as far as they can be inferred from the vendor's texts.`
}

var listColumns = []column{
	{name: "tenant", width: 12},
	{name: "email_address", width: 36},
	{name: "display_name", width: 24},
	{name: "recipient_type", width: 14},
	{name: "status", width: 10},
	{name: "storage_used", width: 12, right: true},
	{name: "prohibit_send_quota", width: 19, right: true},
	{name: "change", width: 8},
	{name: "changed_at"},
}

// Run lists.
func (c *List) Run(ctx context.Context, a *app.App) error {
	where, err := c.conditions(time.Now())
	if err != nil {
		return err
	}
	conn, err := a.Postgres(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	sql := "SELECT " + names(listColumns) + ", to_jsonb(m) FROM mailwright_views.mailbox_inventory m" +
		where.where() + " ORDER BY tenant, email_address, mailbox_id"
	if c.Limit > 0 {
		sql += fmt.Sprintf(" LIMIT %d", c.Limit)
	}
	_, err = stream(ctx, conn, sql, where.args, c.printer(a, listColumns))
	return err
}

func names(columns []column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.name
	}
	return strings.Join(list, ", ")
}

// types are the vendor's texts for the short names of types.
var types = map[string]string{"user": "User mailbox", "shared": "Shared mailbox", "room": "Room mailbox", "equipment": "Equipment mailbox"}

func (c *List) conditions(now time.Time) (*conditions, error) {
	w := &conditions{}
	if c.Limit < 0 || c.NearQuota < 0 {
		return nil, app.Usage("--limit and --near-quota must not be negative")
	}
	switch {
	case c.Missing:
		w.add("missing_since IS NOT NULL")
	case !c.All:
		w.add("missing_since IS NULL")
	}
	if c.Match != "" {
		w.add("concat_ws(' ', email_address, principal_name, display_name) ILIKE $", "%"+escapeLike(c.Match)+"%")
	}
	if c.Tenant != "" {
		w.add("tenant = $", c.Tenant)
	}
	if c.Domain != "" {
		w.add("lower(tenant_domain) = lower($)", c.Domain)
	}
	if c.Type != "" {
		name, short := types[c.Type]
		if !short {
			name = c.Type
		}
		w.add("lower(recipient_type) = lower($)", name)
	}
	if c.Status != "" {
		w.add("lower(status) = lower($)", c.Status)
	}
	if c.NearQuota > 0 {
		w.add("quota_share >= $::float8", c.NearQuota)
	}
	if c.Forwarding {
		w.add("external_email_forwarding_enabled")
	}
	if c.Hold {
		w.add("litigation_hold_enabled")
	}
	var errs []error
	for _, since := range []struct{ flag, value, term string }{
		{"--inactive", c.Inactive, "inactive_since < $"}, {"--changed-since", c.ChangedSince, "changed_at >= $"},
	} {
		if since.value == "" {
			continue
		}
		at, err := app.Ago(since.value, now)
		if err != nil {
			errs = append(errs, app.Usage("%s %s: %w", since.flag, since.value, err))
			continue
		}
		w.add(since.term, at)
	}
	return w, errors.Join(errs...)
}

// escapeLike escapes the special characters of LIKE.
func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}
