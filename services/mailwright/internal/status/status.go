// Package status is `mailwright status`: it shows operations by state, the work that the services
// have left, and the positions of the projections.
package status

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright status`.
type Command struct {
	Watch bool `short:"w" env:"-" help:"Show it anew every second, until Ctrl-C."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Operations by domain and state come from Postgres; if it does not answer, the rest is shown all the same. Commands
are the work that the services have left: pending ones have not been delivered yet, those in flight are being
carried out or wait for their next attempt. The lag of a projection is the number of messages in its stream beyond
its position; messages on subjects that it does not follow count, too.

  mailwright status --watch
  mailwright status --json | jq '.streams[] | select(.name == "DEAD").messages'

Exit codes: 0 shown; 1 NATS does not answer.`
}

const refreshInterval = time.Second

// Run shows the report, once or until ctx ends.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	endpoints, err := a.Endpoints()
	if err != nil {
		return err
	}
	connectCtx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	nc, js, err := a.Connect(connectCtx)
	if err != nil {
		return err
	}
	defer nc.Close()
	db := &database{url: endpoints.Postgres}
	defer db.close()
	if !c.Watch {
		report, err := collect(ctx, js, db)
		if err != nil {
			return err
		}
		return show(a, report, "")
	}
	return watch(ctx, a, js, db)
}

// clearScreen moves a terminal's cursor to the upper left and empties the screen.
const clearScreen = "\x1b[H\x1b[2J"

// watch shows the report anew every second. A server that goes away meanwhile is no reason to end.
func watch(ctx context.Context, a *app.App, js jetstream.JetStream, db *database) error {
	before := ""
	if a.Terminal() {
		before = clearScreen
	}
	for tick := time.NewTicker(refreshInterval); ; {
		report, err := collect(ctx, js, db)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = show(a, report, before)
		} else {
			_, err = fmt.Fprintf(a.Err, "%s%s  %v\n", before, time.Now().Format(time.TimeOnly), err)
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// collect reads everything. Only NATS can fail it.
func collect(ctx context.Context, js jetstream.JetStream, db *database) (Report, error) {
	report := Report{Time: time.Now().UTC()}
	projected, err := db.read(ctx)
	if err != nil {
		report.Postgres.Problem = "Postgres " + err.Error()
	} else {
		report.Postgres.Available = true
		report.Operations = projected.operations
	}
	ctx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("NATS did not answer within %v", app.ServerTimeout))
	defer cancel()
	if report.Commands, err = commands(ctx, js); err != nil {
		return Report{}, err
	}
	if report.Streams, err = streams(ctx, js); err != nil {
		return Report{}, err
	}
	report.Projections = measure(projected.positions, report.Streams)
	return report, nil
}

// show writes the report at once, so that a screen does not flicker.
func show(a *app.App, r Report, before string) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	b := bytes.NewBufferString(before)
	r.print(b)
	_, err := b.WriteTo(a.Out)
	return err
}
