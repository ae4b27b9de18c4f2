package dead

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// List is `mailwright dead ls`.
type List struct {
	Filter
	Histogram bool `env:"-" help:"Count them by reason and domain."`
}

// Help implements kong.HelpProvider.
func (List) Help() string {
	return `One line a dead letter, the oldest first: its sequence in DEAD, when it was dead-lettered, tenant, domain, reason,
the command's type, source and id, and the detail. With --json each line is one dead letter.

  mailwright dead ls --since 24h
  mailwright dead ls --tenant contoso --histogram
  mailwright dead ls --dead-reason acked-without-outcome --json | jq .letter.operationId

Exit codes: 0 listed, even if there are none; 1 NATS does not answer; 2 the call is wrong.`
}

// Run lists.
func (c *List) Run(ctx context.Context, a *app.App) error {
	matches, err := c.matcher(time.Now())
	if err != nil {
		return err
	}
	nc, d, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer nc.Close()
	switch {
	case c.Histogram:
		return c.count(ctx, a, d, matches)
	case a.JSON:
		return c.forEach(ctx, d, matches, func(l deadletters.Letter) error { return a.PrintJSON(l) })
	default:
		return c.table(ctx, a, d, matches)
	}
}

func (c *List) count(ctx context.Context, a *app.App, d *deadletters.Stream, matches func(deadletters.Letter) bool) error {
	var h deadletters.Histogram
	if err := c.forEach(ctx, d, matches, func(l deadletters.Letter) error { h.Add(l); return nil }); err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(h)
	}
	return printHistogram(a.Out, &h)
}

func (c *List) table(ctx context.Context, a *app.App, d *deadletters.Stream, matches func(deadletters.Letter) bool) error {
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	n := 0
	err := c.forEach(ctx, d, matches, func(l deadletters.Letter) error {
		if n++; n == 1 {
			_, _ = fmt.Fprintln(w, "LETTER\tTIME\tTENANT\tDOMAIN\tREASON\tTYPE\tSOURCE, ID\tDETAIL") // Flush reports an error
		}
		_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			l.Sequence, render.Clock(l.StoredAt), render.Cell(l.Content.Tenant), render.Cell(string(l.Domain)),
			render.Cell(l.Content.Reason), render.Cell(render.Short(l.Content.Type)), render.Cell(l.SourceAndID()), render.Cell(l.Content.Detail))
		return err
	})
	if err != nil {
		return err
	}
	if n == 0 {
		_, err = fmt.Fprintln(a.Err, "no dead letters")
		return err
	}
	return w.Flush()
}
