package dead

import (
	"context"
	"slices"
	"time"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/render"
)

// Filter says which letters are meant: those that fit all of it.
type Filter struct {
	Tenant []string `env:"-" help:"Only these tenants."`
	Domain []string `enum:"directory,mailbox,delegation,inventory" env:"-" help:"Only these domains: directory, mailbox, delegation, inventory."`
	Reason []string `enum:"unreadable,idempotency-conflict,expired,outcome-unknown,acked-without-outcome,record-unreadable,reference-mismatch,internal,max-deliveries,terminated" env:"-" help:"Only these reasons; see 'mailwright dead --help'."`
	Type   []string `env:"-" help:"Only commands of these types, in full or short: mailbox.create."`
	Source string   `env:"-" placeholder:"URI" help:"Only commands from this source."`
	Since  string   `env:"-" placeholder:"1h|TIME" help:"Only letters since a time ago, or since a time as RFC 3339 has it."`
	Limit  int      `env:"-" placeholder:"N" help:"At most N, the oldest first."`
}

// given reports whether the filter leaves any letter out.
func (f *Filter) given() bool {
	return len(f.Tenant)+len(f.Domain)+len(f.Reason)+len(f.Type) > 0 || f.Source != "" || f.Since != "" || f.Limit != 0
}

// check reads the filter; fits says which letters are meant, but for the limit.
func (f *Filter) check(now time.Time) (fits func(Letter) bool, err error) {
	if f.Limit < 0 {
		return nil, app.Usage("--limit %d: is not a number of letters", f.Limit)
	}
	var since time.Time
	if f.Since != "" {
		if since, err = app.Ago(f.Since, now); err != nil {
			return nil, app.Usage("--since %s: %w", f.Since, err)
		}
	}
	var types []string
	for _, t := range f.Type {
		types = append(types, render.Long(t))
	}
	oneOf := func(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }
	return func(l Letter) bool {
		return oneOf(f.Tenant, l.Letter.Tenant) && oneOf(f.Domain, string(l.Domain)) && oneOf(f.Reason, l.Letter.Reason) && oneOf(types, l.Letter.Type) &&
			(f.Source == "" || f.Source == l.Letter.Source) && !l.StoredAt.Before(since)
	}, nil
}

// each hands on the letters that are meant, the oldest first.
func (f *Filter) each(ctx context.Context, b *box, fits func(Letter) bool, on func(Letter) error) error {
	n := 0
	for l, err := range b.letters(ctx) {
		if err != nil {
			return err
		}
		if !fits(l) {
			continue
		}
		if err := on(l); err != nil {
			return err
		}
		if n++; n == f.Limit {
			break
		}
	}
	return nil
}
