package dead

import (
	"context"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Replay is `mailwright dead replay`.
type Replay struct {
	Selection
	Rate  float64 `default:"10" env:"-" help:"How many are published a second."`
	Force bool    `env:"-" help:"Also what was replayed 3 times before, and what conflicts with an earlier command."`
}

// Help implements kong.HelpProvider.
func (Replay) Help() string {
	return `Publishes the original message again, with its stored headers and body, to the subject that it came on. A header
Mailwright-Replay counts the replays. Once JetStream confirms the message, the dead letter is deleted from DEAD.
Dead letters are replayed in the order in which their commands were published. A replayed command is queued
behind the commands that were published to its key meanwhile.

A dead letter is refused where a replay cannot help:

  idempotency-conflict     publish the command under a new id (--force replays it all the same)
  outcome-unknown          its operation has the outcome "failed": look at the vendor whether it was carried
                           out, and publish a new command if not
  it has an outcome        discard the dead letter
  it is unreadable         its publisher has to correct it and publish it again
  it is gone               COMMANDS no longer has it, since it is too old or may have held a secret, or has
                           another message in its place: publish it again
  it was replayed 3 times  find out why (--force replays it all the same)

  mailwright dead replay 17
  mailwright dead replay --dead-reason acked-without-outcome --since 24h --dry-run
  mailwright dead replay --dead-reason max-deliveries --domain mailbox --rate 2 --yes

Exit codes: 0 done; 1 some were refused, it was interrupted, or NATS does not answer; 2 the call is wrong,
nothing was done.`
}

// Run replays.
func (c *Replay) Run(ctx context.Context, a *app.App) error {
	if c.Rate <= 0 || c.Rate > 1e6 {
		return app.Usage("--rate %v: must be more than 0 and at most 1000000 dead letters a second", c.Rate)
	}
	matches, err := c.check(a, time.Now())
	if err != nil {
		return err
	}
	if err := c.checkReason(c.needsReason()); err != nil {
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
	deadletters.InPublishedOrder(letters)
	if c.DryRun {
		return c.replay(ctx, a, d, letters, &audit.Tally{})
	}
	if err := c.confirm(a, letters, fmt.Sprintf("Replay %s, %v a second?", countLetters(len(letters)), c.Rate)); err != nil {
		return err
	}
	return a.Recorder(d.JS()).Record(ctx, c.act(audit.DeadReplay, letters, c.options()...), func(tally *audit.Tally) error {
		return c.replay(ctx, a, d, letters, tally)
	})
}

// needsReason names the option by which a call reaches farther than others; "" for none.
func (c *Replay) needsReason() string {
	switch {
	case c.DryRun:
		return ""
	case c.Force:
		return "--force"
	case c.All:
		return "--all"
	default:
		return ""
	}
}

func (c *Replay) options() []string {
	if c.Force {
		return []string{"force"}
	}
	return nil
}

// replay replays the letters, or says what would be replayed, and counts them.
func (c *Replay) replay(ctx context.Context, a *app.App, d *deadletters.Stream, letters []deadletters.Letter, tally *audit.Tally) error {
	pace := time.NewTicker(time.Duration(float64(time.Second) / c.Rate))
	defer pace.Stop()
	p := newProgress(a, len(letters))
	for i, l := range letters {
		r, err := d.Plan(ctx, l, c.Force)
		switch {
		case err != nil:
			return p.interrupted(err)
		case c.DryRun && r.Action != deadletters.Refused:
			r.Action = "would be replayed"
		case r.Action != deadletters.Refused:
			if i > 0 {
				select {
				case <-pace.C:
				case <-ctx.Done():
					return p.interrupted(context.Cause(ctx))
				}
			}
			if err := d.Replay(ctx, &r); err != nil {
				return p.interrupted(err)
			}
			tally.Add(1)
		}
		if err := p.add(r.Done); err != nil {
			return err
		}
	}
	return p.finish(c.DryRun, letters)
}
