package projection

import (
	"context"
	"errors"

	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Rebuild is `mailwright projection rebuild`.
type Rebuild struct {
	Compare    bool `help:"Compare with the rows that are replaced, while the projections wait." default:"true" negatable:"" env:"-"`
	AcceptLoss bool `help:"Rebuild although a stream was made again or has lost messages." env:"-"`
	Examples   int  `help:"Name at most so many differing rows of a table; all are counted." default:"10" env:"-"`
	app.ReasonFlag
}

// Help implements kong.HelpProvider.
func (Rebuild) Help() string {
	return `Replays the streams into tables beside the live ones, and swaps those in with one transaction.

Readers of the views see the old rows or the new ones, never none. One exception: a transaction of isolation
REPEATABLE READ that began before the swap and first reads a view after it.

The projections wait during the last moments and then go on without a restart. Projections that had stopped go
on, too. A projection stops if its stream was made again or has lost messages. Its rows may be all that is left
of those messages, so a rebuild then takes --accept-loss. The rows that it removes or changes are shown as
differences.

A rebuild that is killed changes nothing, and the next one cleans up. It needs the database user that owns the
tables, and room for another copy of them.

  mailwright projection rebuild
  mailwright projection rebuild --no-compare
  mailwright projection rebuild --accept-loss --reason "CHG-4711: EVENTS was restored"

Exit codes: 0 swapped, whatever differed; 1 not possible, nothing was changed; 2 the call is wrong.`
}

// Run rebuilds.
func (c *Rebuild) Run(ctx context.Context, a *app.App) error {
	if err := c.CheckReason(map[bool]string{true: "--accept-loss"}[c.AcceptLoss]); err != nil {
		return err
	}
	s, err := connect(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	act := audit.Act{Action: audit.RebuildRows, Reason: c.Reason, Count: 1}
	if c.AcceptLoss {
		act.Options = []string{"accept-loss"}
	}
	var report replay.Report
	err = a.Recorder(s.js).Record(ctx, act, func(tally *audit.Tally) (err error) {
		report, err = c.rebuild(ctx, s.config(a, c.Examples))
		if err == nil {
			tally.Add(1)
		}
		return err
	})
	if err != nil {
		return err
	}
	return show(a, report)
}

func (c *Rebuild) rebuild(ctx context.Context, cfg replay.Config) (replay.Report, error) {
	cfg.AcceptLoss = c.AcceptLoss
	report, err := replay.Rebuild(ctx, cfg, c.Compare)
	if _, lost := errors.AsType[*projector.Halt](err); lost || errors.Is(err, replay.ErrBusy) {
		err = audit.Refused(err)
	}
	return report, err
}
