package projection

import (
	"context"

	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Rebuild is `mailwright projection rebuild`.
type Rebuild struct {
	Compare    bool `help:"Compare with the rows that are replaced, while the projections wait." default:"true" negatable:"" env:"-"`
	AcceptLoss bool `help:"Rebuild also where a stream was made again or has lost messages: rows of what is no longer there go for good." env:"-"`
	Examples   int  `help:"Name at most so many differing rows of a table; all are counted." default:"10" env:"-"`
}

// Help implements kong.HelpProvider.
func (Rebuild) Help() string {
	return `Replays the streams into tables beside the live ones, and puts those in the place of the live ones in one transaction. Readers of the views see the old rows or the new, never none, save a transaction of isolation REPEATABLE READ that began before the swap and reads a view only after it. The projections wait for the last moments and go on without a restart, also those that had stopped since their stream was made again or has lost messages; as the rows may be all that is left of those, that takes --accept-loss. What it takes away or changes is shown as differences. One that is killed changes nothing, and the next cleans up. It needs the database user that owns the tables, and room for another copy of them.

  mailwright projection rebuild
  mailwright projection rebuild --no-compare
  mailwright projection rebuild --accept-loss

Exit codes: 0 swapped, whatever differed; 1 it could not be done, and nothing was changed; 2 the call is wrong.`
}

// Run rebuilds.
func (c *Rebuild) Run(ctx context.Context, a *app.App) error {
	s, err := connect(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	cfg := s.config(a, c.Examples)
	cfg.AcceptLoss = c.AcceptLoss
	report, err := replay.Rebuild(ctx, cfg, c.Compare)
	if err != nil {
		return err
	}
	return show(a, report)
}
