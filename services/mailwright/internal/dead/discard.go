package dead

import (
	"context"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Discard is `mailwright dead discard`.
type Discard struct{ Selection }

// Help implements kong.HelpProvider.
func (Discard) Help() string {
	return `Takes letters out of DEAD, and so out of mailwright.dead_letters. The messages that they are about stay where they are until their stream lets them go.

  mailwright dead discard 17 18
  mailwright dead discard --reason unreadable --since 24h --dry-run

Exit codes: 0 done; 1 not all of it, or NATS is away; 2 the call is wrong, nothing was done.`
}

// Run discards.
func (c *Discard) Run(ctx context.Context, a *app.App) error {
	fits, err := c.check(a, time.Now())
	if err != nil {
		return err
	}
	b, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer b.close()
	letters, err := c.letters(ctx, b, fits)
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(a.Err, "no such dead letters")
		return err
	}
	did := Done{Action: "discarded"}
	if c.DryRun {
		did.Action = "would be discarded"
	} else if err := c.consent(a, letters, fmt.Sprintf("Discard %s?", letterCount(len(letters)))); err != nil {
		return err
	}
	p := newProgress(a, len(letters))
	for _, l := range letters {
		if !c.DryRun {
			if err := b.discard(ctx, l); err != nil {
				return p.brokenOff(err)
			}
		}
		did.Letter, did.Detail = l.Sequence, l.about()
		if err := p.done(did); err != nil {
			return err
		}
	}
	return p.end(c.DryRun, letters)
}
