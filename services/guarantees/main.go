// guarantees attacks each promise of Mailwright with the faults that the promise covers. It runs
// real processes against the simulated vendors, gathers what they left, and judges from this
// evidence whether the promise was kept. See README, "Guarantees".
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/mailwright/mailwright/services/guarantees/internal/scenario"
)

type options struct {
	Seed     uint64   `help:"Seed of the faults; a run can be repeated with it. 0 draws one."`
	Commands int      `help:"Commands published while faults are injected, at least." default:"1500"`
	Keys     int      `help:"Keys that the commands are spread over." default:"60"`
	Kills    int      `help:"Processes to kill, at least: at every step, and at random moments." default:"40"`
	Backlog  int      `help:"${backlog}"`
	Long     bool     `help:"100,000 commands through at least 500 kills."`
	Unsafe   []string `help:"${unsafe}"`
	NoFaults bool     `help:"Inject no faults."`
	Prove    bool     `help:"${prove}"`
	Bin      string   `help:"Folder with the programs; default: where this program is." type:"existingdir"`
	JSON     string   `help:"${json}"`
	Keep     bool     `help:"Keep the state and the logs."`

	// OutcomeTimeout bounds each wait for the outcomes of everything published.
	OutcomeTimeout time.Duration `help:"How long to wait for all outcomes after the last fault." default:"4m"`
	// StateFile is read by --verify-projections.
	StateFile         string `help:"${state}" default:"build/guarantees.state"`
	VerifyProjections bool   `help:"${verify}"`
}

// helps are the texts that do not fit on one line.
var helps = kong.Vars{
	"backlog": "Instead of the guarantees: work off a backlog of so many commands, " +
		"with and without one key of a hundred that waits.",
	"unsafe": "Switch protections of the system off, to see the checkers find what they prevent: " +
		"guard, look-up, partition, park, lease, detach, redaction, dead-letters, record, reference, " +
		"redelivery, bounds, cancel-rights. Two more alter what the checkers see: " +
		"rows (a row is altered by hand), client (a client follows every link of a vendor).",
	"prove": "Switch one protection after another off, and show which checker finds what it prevents; " +
		"with --unsafe, those alone.",
	"json": "File for the results; default: build/guarantees.json, or build/guarantees-backlog.json.",
	"state": "File that names the folder with the streams and the database of the last run, " +
		"for --verify-projections.",
	"verify": "Instead of the guarantees: compare the rows that the last run left with a replay; " +
		"then alter one by hand, and see it found, named and put right.",
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("guarantees"), kong.Description("Attacks each guarantee and proves that it was kept."), helps)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.mode()(ctx)
	stop()
	exit(err)
}

// mode returns what the flags ask for.
func (o *options) mode() func(context.Context) error {
	switch {
	case o.Backlog > 0:
		return o.backlog
	case o.VerifyProjections:
		return o.verifyProjections
	case o.Prove:
		return o.prove
	default:
		return o.attack
	}
}

// attack attacks every guarantee. Its error says that one was violated, or that the run did not
// make every attack.
func (o *options) attack(ctx context.Context) error {
	o.setDefaults()
	rows, missing, err := o.attackWithFaults(ctx)
	if err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	slow, hostile, err := o.attackWithoutFaults(ctx)
	if err != nil {
		return err
	}
	rows = append(rows, slow, hostile)
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.Name, b.Name) })
	if err := errors.Join(o.print(rows), o.write("build/guarantees.json", rows, missing)); err != nil {
		return err
	}
	violations := 0
	for _, r := range rows {
		violations += r.Violations
	}
	for _, m := range missing {
		fmt.Println("not attacked:", m)
	}
	fmt.Printf("guarantees: %d rows, %d violations, %d attacks missing, seed %d\n", len(rows), violations, len(missing), o.Seed)
	if violations > 0 {
		return errors.New("a guarantee was violated")
	}
	if len(missing) > 0 {
		return errors.New("the run did not make every attack")
	}
	return nil
}

// setDefaults fills in what the flags leave open.
func (o *options) setDefaults() {
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1 << 32)
	}
	if o.Long {
		o.Commands = 100_000
		o.Keys = 2_000
		o.Kills = 500
		o.OutcomeTimeout = time.Hour
	}
	o.setBin()
	progress("seed %d: %d commands on %d keys, every step of each service, at least %d kills", o.Seed, o.Commands, o.Keys, o.Kills)
}

// setBin takes the folder of this program where none is given: make builds all programs into one.
func (o *options) setBin() {
	if self, err := os.Executable(); err == nil && o.Bin == "" {
		o.Bin = filepath.Dir(self)
	}
}

func (o *options) plan() scenario.Plan {
	return scenario.Plan{
		Seed:      o.Seed,
		Commands:  o.Commands,
		Keys:      o.Keys,
		Kills:     o.Kills,
		FastKills: o.Long,
		Unsafe:    o.Unsafe,
		NoFaults:  o.NoFaults,
		Bin:       o.Bin,
		Log:       slog.New(slog.DiscardHandler),
		Progress:  progress,
	}
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "guarantees:", err)
		os.Exit(1)
	}
}
