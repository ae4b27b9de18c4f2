package projection

import (
	"context"
	"errors"

	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Verify is `mailwright projection verify`.
type Verify struct {
	Examples int `help:"Name at most so many differing rows of a table; all are counted." default:"10" env:"-"`
}

// Help implements kong.HelpProvider.
func (Verify) Help() string {
	return `Replays the streams into tables beside the live ones, up to the positions that the live rows reflect. Then it
compares a checksum of each table. Where that differs, it compares slices of the table, and then single rows.
The projections go on meanwhile. Rows that no replay can give are counted with the reason; they are no
difference. It needs the database user that owns the tables, and room for another copy of them.

  mailwright projection verify
  mailwright projection verify --json | jq '.tables[] | select(.differences > 0)'

Exit codes: 0 no row differs; 1 not possible, or not for every table; 2 the call is wrong; 4 rows differ.`
}

// Run compares.
func (c *Verify) Run(ctx context.Context, a *app.App) error {
	s, err := connect(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	report, err := replay.Verify(ctx, s.config(a, c.Examples))
	if err != nil && report.NotCompared == "" {
		return err
	}
	if err := show(a, report); err != nil {
		return err
	}
	if report.Differences() > 0 {
		err := errors.New("rows differ from what the streams give; 'mailwright projection rebuild' puts that right")
		return &app.ExitError{Code: app.ExitDifferent, Err: err}
	}
	return err
}
