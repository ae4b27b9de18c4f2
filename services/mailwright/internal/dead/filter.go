package dead

import (
	"context"
	"slices"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Filter selects dead letters: those that match all of it.
type Filter struct {
	Tenant     []string `env:"-" help:"Only these tenants."`
	Domain     []string `enum:"directory,mailbox,delegation,inventory" env:"-" help:"Only these domains: ${enum}."`
	DeadReason []string `placeholder:"REASON,..." enum:"unreadable,idempotency-conflict,expired,outcome-unknown,acked-without-outcome,record-unreadable,reference-mismatch,internal,max-deliveries,terminated" env:"-" help:"Only dead letters with these reasons; see 'mailwright dead --help'."`
	Type       []string `env:"-" help:"Only commands of these types, in full or short: mailbox.create."`
	Source     string   `env:"-" placeholder:"URI" help:"Only commands from this source."`
	Since      string   `env:"-" placeholder:"1h|TIME" help:"Only dead letters since a time ago, or since an RFC 3339 time."`
	Limit      int      `env:"-" placeholder:"N" help:"At most N, the oldest first."`
}

// deadReasons are the reasons of dead letters.
var deadReasons = []string{
	operation.Unreadable, operation.Conflict, operation.Expired, operation.OutcomeUnknown, operation.AckedWithoutOutcome,
	operation.RecordUnreadable, operation.ReferenceMismatch, operation.InternalFault, event.MaxDeliveries, event.Terminated,
}

// isGiven reports whether the filter has any condition.
func (f *Filter) isGiven() bool {
	return len(f.Tenant)+len(f.Domain)+len(f.DeadReason)+len(f.Type) > 0 || f.Source != "" || f.Since != "" || f.Limit != 0
}

// matcher checks the flags and returns the test for a dead letter, without the limit.
func (f *Filter) matcher(now time.Time) (matches func(deadletters.Letter) bool, err error) {
	if f.Limit < 0 {
		return nil, app.Usage("--limit %d: must not be negative", f.Limit)
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
	return func(l deadletters.Letter) bool {
		return oneOf(f.Tenant, l.Content.Tenant) &&
			oneOf(f.Domain, string(l.Domain)) &&
			oneOf(f.DeadReason, l.Content.Reason) &&
			oneOf(types, l.Content.Type) &&
			(f.Source == "" || f.Source == l.Content.Source) &&
			!l.StoredAt.Before(since)
	}, nil
}

// forEach visits the dead letters that match, the oldest first.
func (f *Filter) forEach(ctx context.Context, d *deadletters.Stream, matches func(deadletters.Letter) bool, visit func(deadletters.Letter) error) error {
	n := 0
	for l, err := range d.Letters(ctx) {
		if err != nil {
			return err
		}
		if !matches(l) {
			continue
		}
		if err := visit(l); err != nil {
			return err
		}
		if n++; n == f.Limit {
			break
		}
	}
	return nil
}
