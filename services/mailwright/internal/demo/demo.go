// Package demo is `mailwright demo`: the whole system, carrying out the examples of the vendors'
// own pages.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/dev"
)

// Command is `mailwright demo`.
type Command struct {
	Bin     string        `help:"Folder with the programs; default: where mailwright itself is." type:"existingdir" placeholder:"DIR"`
	Keep    bool          `help:"Keep it running afterwards, and print the addresses and what to try." xor:"keep"`
	Running bool          `help:"Use the running system, with a new sandbox; start and stop nothing." xor:"keep"`
	Timeout time.Duration `help:"How long the commands may take." default:"90s"`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Starts NATS, Postgres, the sandbox and the services on free ports with their state in a temporary directory.
Publishes the examples of the vendors' pages as commands, shows the progress and outcome of each and a few rows of
the projections, and stops everything. The exit code is 0 only if every command succeeded.

--running takes the addresses from --nats-url and --database-url, or from the state directory.`
}

// Run implements the command.
func (c *Command) Run(ctx context.Context, a *app.App) (err error) {
	if c.Running {
		e, err := a.Endpoints()
		if err != nil {
			return err
		}
		a.NATSURL = e.NATS
		a.DatabaseURL = e.Postgres
		return c.show(ctx, a)
	}
	dir, err := os.MkdirTemp("", "mailwright-demo-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user below it
		return err
	}
	began := time.Now()
	_, _ = fmt.Fprintln(a.Err, "Starting NATS, Postgres, the sandbox, five services and the console, on loopback and so without TLS …")
	log := slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := stack.Start(ctx, stack.Options{Dir: dir, Bin: c.Bin, Log: log, Console: true})
	if err != nil {
		return fmt.Errorf("%w\n(the logs are in %s/logs)", err, dir)
	}
	defer func() {
		err = errors.Join(err, s.Stop())
		if err == nil {
			err = os.RemoveAll(dir)
			return
		}
		_, _ = fmt.Fprintf(a.Err, "The logs are in %s/logs.\n", dir)
	}()
	if c.Keep {
		_, _ = fmt.Fprintf(a.Err, "Console: %s\n", s.Endpoints.Console)
	}
	_, _ = fmt.Fprintf(a.Err, "Ready after %s.\n\n", time.Since(began).Round(10*time.Millisecond))
	a.State = dir
	a.NATSURL = s.Endpoints.NATS
	a.DatabaseURL = s.Endpoints.Postgres

	outcome := c.show(ctx, a)
	if c.Keep && ctx.Err() == nil {
		printSuggestions(a, s)
		<-ctx.Done()
	}
	return outcome
}

// show carries the examples out and prints their outcomes. Its error says which command did not
// succeed, and why.
func (c *Command) show(ctx context.Context, a *app.App) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	runs, err := carryOut(ctx, a)
	if err != nil {
		return err
	}
	if err := printOutcomes(a, runs); err != nil {
		return err
	}
	if err := printProjections(ctx, a, runs); err != nil {
		return errors.Join(printSummary(a, runs), fmt.Errorf("the projections: %w", err))
	}
	return printSummary(a, runs)
}

// printSuggestions prints the addresses, and what to try.
func printSuggestions(a *app.App, s *stack.Stack) {
	fmt.Fprintln(a.Out)
	dev.PrintEndpoints(a, s)
	self := os.Args[0]
	fmt.Fprintf(a.Out, `
Three things to try, in another terminal:
  %[1]s --state %[2]s send delegation.change --set mailbox=alex@contoso.com --set add.0=megan.bowen@contoso.com --wait
  %[1]s --state %[2]s watch --since all
  psql '%[3]s' -c 'SELECT * FROM mailwright_views.operations_by_state'

Ctrl-C stops everything.
`, self, a.State, s.Endpoints.Postgres)
}
