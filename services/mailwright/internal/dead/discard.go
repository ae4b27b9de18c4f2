package dead

import (
	"context"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Discard is `mailwright dead discard`.
type Discard struct{ Selection }

// Help implements kong.HelpProvider.
func (Discard) Help() string {
	return `Deletes dead letters from DEAD, and so from mailwright.dead_letters. The original messages stay in their stream
until it deletes them.

  mailwright dead discard 17 18
  mailwright dead discard --reason unreadable --since 24h --dry-run

Exit codes: 0 done; 1 not all of it, or NATS does not answer; 2 the call is wrong, nothing was done.`
}

// Run discards.
func (c *Discard) Run(ctx context.Context, a *app.App) error {
	matches, err := c.check(a, time.Now())
	if err != nil {
		return err
	}
	nc, d, err := open(ctx, a)
	if err != nil {
		return err
	}
	defer nc.Close()
	letters, err := c.letters(ctx, d, matches)
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(a.Err, "no such dead letters")
		return err
	}
	done := deadletters.Done{Action: "discarded"}
	if c.DryRun {
		done.Action = "would be discarded"
	} else if err := c.confirm(a, letters, fmt.Sprintf("Discard %s?", countLetters(len(letters)))); err != nil {
		return err
	}
	p := newProgress(a, len(letters))
	for _, l := range letters {
		if !c.DryRun {
			if err := d.Discard(ctx, l); err != nil {
				return p.interrupted(err)
			}
		}
		done.Letter = l.Sequence
		done.Detail = l.Describe()
		if err := p.add(done); err != nil {
			return err
		}
	}
	return p.finish(c.DryRun, letters)
}
