// mailwright is the command line: it runs the whole system on one machine, publishes commands,
// follows events and shows the status.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/audit"
	"github.com/mailwright/mailwright/services/mailwright/internal/bulk"
	"github.com/mailwright/mailwright/services/mailwright/internal/cancel"
	"github.com/mailwright/mailwright/services/mailwright/internal/certs"
	"github.com/mailwright/mailwright/services/mailwright/internal/dead"
	"github.com/mailwright/mailwright/services/mailwright/internal/demo"
	"github.com/mailwright/mailwright/services/mailwright/internal/dev"
	"github.com/mailwright/mailwright/services/mailwright/internal/doctor"
	"github.com/mailwright/mailwright/services/mailwright/internal/erase"
	"github.com/mailwright/mailwright/services/mailwright/internal/explain"
	"github.com/mailwright/mailwright/services/mailwright/internal/inventory"
	"github.com/mailwright/mailwright/services/mailwright/internal/key"
	"github.com/mailwright/mailwright/services/mailwright/internal/nats"
	"github.com/mailwright/mailwright/services/mailwright/internal/projection"
	"github.com/mailwright/mailwright/services/mailwright/internal/sandbox"
	"github.com/mailwright/mailwright/services/mailwright/internal/secrets"
	"github.com/mailwright/mailwright/services/mailwright/internal/send"
	"github.com/mailwright/mailwright/services/mailwright/internal/status"
	"github.com/mailwright/mailwright/services/mailwright/internal/streams"
	"github.com/mailwright/mailwright/services/mailwright/internal/watch"
)

type commands struct {
	app.Globals
	Verbose bool             `short:"v" help:"Say more on standard error."`
	Version kong.VersionFlag `help:"Print the version and exit." env:"-"`

	Dev        dev.Command        `cmd:"" help:"Run everything on this machine: NATS, Postgres, the sandbox and the services."`
	Demo       demo.Command       `cmd:"" help:"Start everything in a temporary directory, carry out the vendors' own examples, and stop."`
	Send       send.Command       `cmd:"" help:"Publish a command; with --wait, print its outcome."`
	Key        key.Command        `cmd:"" help:"Print the recommended key of a command, and its subject."`
	Import     bulk.Command       `cmd:"" help:"Publish a command for each row of a spreadsheet, and record the outcomes."`
	Watch      watch.Command      `cmd:"" help:"Follow events as they happen."`
	Explain    explain.Command    `cmd:"" help:"Say in plain English where an operation stands, and what would help."`
	Cancel     cancel.Command     `cmd:"" help:"Cancel operations that wait."`
	Dead       dead.Command       `cmd:"" help:"List, show, replay and discard dead letters."`
	Audit      audit.Command      `cmd:"" help:"List what people did, and why."`
	Status     status.Command     `cmd:"" help:"Show operations by state, and the work that the services have left."`
	Inventory  inventory.Command  `cmd:"" help:"Take inventories of mailboxes; list, show and compare what they found."`
	Erase      erase.Command      `cmd:"" help:"Take what the system holds about a person out of every stream and every table."`
	Projection projection.Command `cmd:"" help:"Show, verify and rebuild the projections in Postgres."`
	Streams    streams.Command    `cmd:"" help:"Show which streams and consumers are missing, and make them."`
	Secrets    secrets.Command    `cmd:"" help:"Make and publish the keys to which publishers seal passwords."`
	NATS       nats.Command       `cmd:"" name:"nats" help:"Write the permissions of every NATS user, as a server's configuration or as a table."`
	Certs      certs.Command      `cmd:"" help:"Make certificates for NATS, Postgres and the programs, of an authority of their own."`
	Doctor     doctor.Command     `cmd:"" help:"Check every configured vendor of every tenant, without changing anything."`
	Sandbox    sandbox.Command    `cmd:"" help:"Control the simulated vendors: seed, clock, switches, faults, journal."`
	Server     dev.Server         `cmd:"" hidden:"" help:"Run the embedded NATS server alone; 'dev' starts it."`
}

func main() {
	var c commands
	const description = "Provisions directory accounts, Exchange mailboxes, delegates and inventories from events."
	parser, err := kong.New(&c, append(process.Options("mailwright", description),
		kong.Vars{"version": version()})...)
	if err != nil {
		panic(err) // the commands' own declaration is wrong
	}
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		parser.Errorf("%s", err)
		os.Exit(app.ExitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app.App{Globals: c.Globals, Out: os.Stdout, Err: os.Stderr, Prompt: app.Prompt(), Log: logger(c.Verbose)}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(a)
	stop()
	if err != nil {
		a.PrintError(err)
	}
	os.Exit(app.Code(err))
}

func logger(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
