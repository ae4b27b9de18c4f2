// guarantees attacks each promise of Mailwright with the faults that it is made against, in real
// processes with the sandbox as the witness, and proves from the evidence that it was kept. See
// README, "Guarantees".
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
	Seed     uint64        `help:"Seed of the faults; a run can be repeated with it. 0 draws one."`
	Commands int           `help:"Commands of the storm, at least." default:"1500"`
	Keys     int           `help:"Keys that they are spread over." default:"60"`
	Kills    int           `help:"Processes killed at least, in the walk over every step and at random moments." default:"40"`
	OutcomeTimeout time.Duration `help:"How long the system may take to settle after the storm." default:"4m"`
	Backlog  int           `help:"Instead of the guarantees: work off a backlog of so many commands, with and without one key of a hundred that waits."`
	Long     bool          `help:"100,000 commands through at least 500 kills."`
	Unsafe   []string      `help:"Switch protections of the system off, to see the checkers find what they prevent: guard, look-up, partition, park, lease, detach, redaction, dead-letters, record, reference, redelivery, cancel-rights; or alter a row by hand (rows), or have a client follow wherever it is led (client)."`
	NoFaults bool          `help:"Leave the storm out."`
	Prove    bool          `help:"Switch one protection after another off, and show which checker finds what it prevents; with --unsafe, those alone."`
	Bin      string        `help:"Folder with the programs; default: where this program is." type:"existingdir"`
	JSON     string        `help:"File for the results; default: build/guarantees.json, or build/guarantees-backlog.json."`
	Keep     bool          `help:"Keep the state and the logs."`
	StateFile     string        `help:"File that names the folder in which the storm leaves its streams and its database, for --verify-projections." default:"build/guarantees.state"`

	VerifyProjections bool `help:"Instead of the guarantees: hold the rows that the last run left against a replay; then alter one by hand, and see it found, named and put right."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("guarantees"), kong.Description("Attacks each guarantee and proves that it was kept."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.mode()(ctx)
	stop()
	exit(err)
}

// mode is what this run is to do.
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

// attack is an error if a guarantee was not kept, or if the run did not attack all that it should.
func (o *options) attack(ctx context.Context) error {
	o.setDefaults()
	rows, missing, err := o.attackWithFaults(ctx)
	if err != nil {
		return fmt.Errorf("storm: %w", err)
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
	for _, l := range missing {
		fmt.Println("not attacked:", l)
	}
	fmt.Printf("guarantees: %d rows, %d violations, %d attacks missing, seed %d\n", len(rows), violations, len(missing), o.Seed)
	if violations > 0 {
		return errors.New("a guarantee was violated")
	}
	if len(missing) > 0 {
		return errors.New("the run did not attack all that it should")
	}
	return nil
}

// setDefaults fills in what is left open.
func (o *options) setDefaults() {
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1 << 32)
	}
	if o.Long {
		o.Commands, o.Keys, o.Kills, o.OutcomeTimeout = 100_000, 2_000, 500, time.Hour
	}
	o.setBin()
	progress("seed %d: %d commands on %d keys, every step of each service, at least %d kills", o.Seed, o.Commands, o.Keys, o.Kills)
}

// setBin is where this program is: make builds them all into one folder.
func (o *options) setBin() {
	if self, err := os.Executable(); err == nil && o.Bin == "" {
		o.Bin = filepath.Dir(self)
	}
}

func (o *options) plan() scenario.Plan {
	return scenario.Plan{
		Seed: o.Seed, Commands: o.Commands, Keys: o.Keys, Kills: o.Kills, FastKills: o.Long, Unsafe: o.Unsafe, NoFaults: o.NoFaults, Bin: o.Bin,
		Log: slog.New(slog.DiscardHandler), Progress: progress,
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
