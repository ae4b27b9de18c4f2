package dead

import (
	"context"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Discard is `mailwright dead discard`.
type Discard struct{ Selection }

// Help implements kong.HelpProvider.
func (Discard) Help() string {
	return `Deletes dead letters from DEAD, and so from mailwright.dead_letters. The original messages stay in their stream
until it deletes them. A command that may hold a secret, and that was kept for a replay, is removed.

  mailwright dead discard 17 18 --reason "CHG-4711: published anew"
  mailwright dead discard --dead-reason unreadable --since 24h --dry-run

Exit codes: 0 done; 1 not all of it, or NATS does not answer; 2 the call is wrong, nothing was done.`
}

// Run discards.
func (c *Discard) Run(ctx context.Context, a *app.App) error {
	matches, err := c.check(a, time.Now())
	if err != nil {
		return err
	}
	if err := c.checkReason(map[bool]string{false: "dead discard"}[c.DryRun]); err != nil {
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
	if c.DryRun {
		return c.discard(a, letters, "would be discarded", func(deadletters.Letter) error { return nil })
	}
	if err := c.confirm(a, letters, fmt.Sprintf("Discard %s?", countLetters(len(letters)))); err != nil {
		return err
	}
	return a.Recorder(d.JS()).Record(ctx, c.act(audit.DeadDiscard, letters), func(tally *audit.Tally) error {
		return c.discard(a, letters, "discarded", func(l deadletters.Letter) error {
			err := d.Discard(ctx, l)
			if err == nil {
				tally.Add(1)
			}
			return err
		})
	})
}

// discard has do discard the letters, and prints each with the action.
func (c *Discard) discard(a *app.App, letters []deadletters.Letter, action string, do func(deadletters.Letter) error) error {
	p := newProgress(a, len(letters))
	for _, l := range letters {
		if err := do(l); err != nil {
			return p.interrupted(err)
		}
		if err := p.add(deadletters.Done{Letter: l.Sequence, Action: action, Detail: l.Describe()}); err != nil {
			return err
		}
	}
	return p.finish(c.DryRun, letters)
}
