package projection

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Status is `mailwright projection status`.
type Status struct {
	Over time.Duration `help:"How long the rate is measured." default:"1s" env:"-"`
}

// Help implements kong.HelpProvider.
func (Status) Help() string {
	return `One line a projection: its stream and its position there, how many messages wait and since when, and how many
positions it advances a second. Only messages that it follows count. A projection that stopped says why.

  mailwright projection status --over 10s
  mailwright projection status --json | jq -r 'select(.lagSeconds > 60).projection'

Exit codes: 0 every projection can go on; 1 one of them stopped, or a server does not answer.`
}

// Position is the position of a projection, as --json prints it, one a line.
type Position struct {
	Projection   string  `json:"projection"`
	Stream       string  `json:"stream"`
	Sequence     int64   `json:"sequence"`
	LastSequence uint64  `json:"lastSequence"`
	Lag          uint64  `json:"lag"`
	LagSeconds   float64 `json:"lagSeconds"`
	Rate         float64 `json:"rate"`
	// Stopped says why the projection cannot go on.
	Stopped string `json:"stopped,omitempty"`
}

// Run prints the status of every projection.
func (c *Status) Run(ctx context.Context, a *app.App) error {
	s, err := connect(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	before, err := s.checkpoints(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-time.After(c.Over):
	case <-ctx.Done():
		return ctx.Err()
	}
	now, err := s.checkpoints(ctx)
	if err != nil {
		return err
	}
	passed := time.Since(began).Seconds()
	var list []Position
	stopped := 0
	for _, p := range projection.List() {
		position := now[p.Name()]
		lag, err := projector.MeasureLag(ctx, s.js, p, position)
		if err != nil {
			return err
		}
		status := Position{
			Projection: p.Name(), Stream: p.Stream(), Sequence: position.Sequence, LastSequence: lag.Last, Lag: lag.Messages,
			Rate: float64(position.Sequence-before[p.Name()].Sequence) / max(passed, 0.001),
		}
		if !lag.Since.IsZero() {
			status.LagSeconds = max(0, time.Since(lag.Since).Seconds())
		}
		if lag.Halt != nil {
			status.Stopped = lag.Halt.Error()
			stopped++
		}
		list = append(list, status)
	}
	if err := print(a, list); err != nil {
		return err
	}
	if stopped > 0 {
		return fmt.Errorf("%d projections stopped", stopped)
	}
	return nil
}

func print(a *app.App, list []Position) error {
	if a.JSON {
		for _, s := range list {
			if err := a.PrintJSON(s); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PROJECTION\tSTREAM\tPOSITION\tOF\tWAITING\tFOR\tPER SECOND")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%v\t%.0f\n", s.Projection, s.Stream, s.Sequence, s.LastSequence, s.Lag,
			time.Duration(s.LagSeconds*float64(time.Second)).Round(time.Millisecond), s.Rate)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range list {
		if s.Stopped != "" {
			fmt.Fprintf(a.Out, "%s stopped: %s\n", s.Projection, s.Stopped)
		}
	}
	return nil
}

func (s *servers) checkpoints(ctx context.Context) (at map[string]projector.Checkpoint, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		at, err = projector.Checkpoints(ctx, tx, false)
		return err
	})
	return at, err
}
