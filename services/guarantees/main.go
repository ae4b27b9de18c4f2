// guarantees attacks each promise of Mailwright with the faults that it is made against, in real processes with the
// sandbox as the witness, and proves from the evidence that it was kept. See README, "Guarantees".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/guarantees/internal/trial"
)

type options struct {
	Seed     uint64        `help:"Seed of the faults; a run can be repeated with it. 0 draws one."`
	Commands int           `help:"Commands of the storm." default:"600"`
	Keys     int           `help:"Keys that they are spread over." default:"60"`
	Kills    int           `help:"Processes killed at random moments, beside the walk over every step of the engine." default:"12"`
	Patience time.Duration `help:"How long the system may take to settle after the storm." default:"4m"`
	Backlog  int           `help:"Instead of the guarantees: work off a backlog of so many commands, with and without one key of a hundred that waits."`
	Long     bool          `help:"100,000 commands through at least 500 kills."`
	Unsafe   []string      `help:"Switch protections of the system off, to see the checkers find what they prevent: guard, look-up, partition, park, hold, redaction, bury."`
	NoFaults bool          `help:"Leave the storm out."`
	Prove    bool          `help:"Switch one protection after another off, and show which checker finds what it prevents."`
	Bin      string        `help:"Folder with the programs; default: where this program is." type:"existingdir"`
	JSON     string        `help:"File for the results." default:"build/guarantees.json"`
	Keep     bool          `help:"Keep the state and the logs."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("guarantees"), kong.Description("Attacks each guarantee and proves that it was kept."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if o.Backlog > 0 {
		err := o.backlog(ctx)
		stop()
		end(err)
		return
	}
	if o.Prove {
		err := o.prove(ctx)
		stop()
		end(err)
		return
	}
	rows, err := o.run(ctx)
	stop()
	end(err)
	violations := 0
	for _, r := range rows {
		violations += r.Violations
	}
	fmt.Printf("guarantees: %d rows, %d violations, seed %d\n", len(rows), violations, o.Seed)
	if violations > 0 {
		os.Exit(1)
	}
}

// memoryOfBacklog is what the service may take, however long the queue.
const memoryOfBacklog = 256 << 20

// backlog prints how fast a heap of commands is worked off, without and with keys that wait, and what memory that takes.
func (o *options) backlog(ctx context.Context) (err error) {
	o.defaultBin()
	plan := o.plan()
	plan.Commands, plan.Keys = o.Backlog, o.Backlog/10
	t, err := trial.Start(ctx, plan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close(o.Keep || err != nil)) }()
	var rates []float64
	for _, stuck := range []bool{false, true} {
		b, err := t.Backlog(ctx, stuck)
		if err != nil {
			return err
		}
		rates = append(rates, b.Rate())
		fmt.Printf("backlog: %d commands, %d more on keys that wait: %.0f/s, peak memory %d MiB\n", b.Commands, b.Parked, b.Rate(), b.PeakBytes>>20)
		if b.PeakBytes > memoryOfBacklog {
			return fmt.Errorf("the service took %d MiB; it may take %d", b.PeakBytes>>20, memoryOfBacklog>>20)
		}
	}
	fmt.Printf("backlog: with waiting keys the others are worked off at %.2f of the rate without\n", rates[1]/rates[0])
	return nil
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "guarantees:", err)
		os.Exit(1)
	}
}

// protections maps each protection to the guarantee whose checker must find that it is off, and says whether
// that takes the vendor's faults.
var protections = []struct {
	name, found string
	faults      bool
}{
	{"guard", "G1", false}, {"look-up", "G2", true}, {"partition", "G3", false}, {"park", "G3", true},
	{"hold", "G4", false}, {"redaction", "G6", false}, {"bury", "G7", false},
}

// prove is an error if a protection can be switched off without its checker finding it.
func (o *options) prove(ctx context.Context) error {
	blind := 0
	for _, p := range protections {
		off := *o
		off.Unsafe, off.NoFaults, off.Kills, off.Patience, off.JSON = []string{p.name}, !p.faults, 0, 30*time.Second, filepath.Join(os.TempDir(), "mailwright-prove.json")
		rows, err := off.run(ctx)
		if err != nil {
			return fmt.Errorf("without %s: %w", p.name, err)
		}
		for _, r := range rows {
			if r.Name == p.found {
				fmt.Printf("prove: without %-10s %s finds %d violations\n", p.name, r.Name, r.Violations)
				if r.OK {
					blind++
				}
			}
		}
	}
	fmt.Printf("prove: %d protections, %d checkers blind\n", len(protections), blind)
	if blind > 0 {
		return errors.New("a checker is blind")
	}
	return nil
}

// row is one line of the table.
type row struct {
	Name       string   `json:"name"`
	Promise    string   `json:"promise"`
	Fault      string   `json:"fault"`
	Commands   int      `json:"commands"`
	Faults     int      `json:"faults"`
	Violations int      `json:"value"`
	Unit       string   `json:"unit"`
	Target     int      `json:"target"`
	OK         bool     `json:"ok"`
	Examples   []string `json:"examples,omitempty"`
}

func (o *options) run(ctx context.Context) ([]row, error) {
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1 << 32)
	}
	if o.Long {
		o.Commands, o.Keys, o.Kills, o.Patience = 100_000, 2_000, 500, 2*time.Hour
	}
	o.defaultBin()
	progress("seed %d: %d commands on %d keys, every step of the engine, %d kills", o.Seed, o.Commands, o.Keys, o.Kills)
	rows, err := o.storm(ctx)
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	quiet, err := o.stuck(ctx)
	if err != nil {
		return nil, fmt.Errorf("stuck targets: %w", err)
	}
	rows = append(rows[:3], append([]row{quiet}, rows[3:]...)...)
	lured, err := o.lure(ctx)
	if err != nil {
		return nil, fmt.Errorf("hostile answers: %w", err)
	}
	rows = append(rows, lured)
	return rows, errors.Join(o.print(rows), o.write(rows))
}

// defaultBin is where this program is: make builds them all into one folder.
func (o *options) defaultBin() {
	if self, err := os.Executable(); err == nil && o.Bin == "" {
		o.Bin = filepath.Dir(self)
	}
}

func (o *options) plan() trial.Plan {
	return trial.Plan{
		Seed: o.Seed, Commands: o.Commands, Keys: o.Keys, Kills: o.Kills, Unsafe: o.Unsafe, NoFaults: o.NoFaults, Bin: o.Bin,
		Log: slog.New(slog.DiscardHandler), Progress: progress,
	}
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// storm attacks G1, G2, G3, G5, G6 and G7 at once.
func (o *options) storm(ctx context.Context) (rows []row, err error) {
	t, err := trial.Start(ctx, o.plan())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close(o.Keep || err != nil)) }()
	raging, calm := context.WithCancel(ctx)
	defer calm()
	stormed := make(chan error, 1)
	go func() { stormed <- t.Storm(raging) }()
	if err := t.Publish(ctx); err != nil {
		return nil, err
	}
	progress("all commands are published")
	if err := <-stormed; err != nil {
		return nil, err
	}
	progress("the storm is over: %d faults", t.Faults())
	if err := t.Settle(ctx, o.Patience); err != nil {
		progress("not settled: %v", err) // the checkers say what is missing
	}
	e, err := t.Evidence(ctx)
	if err != nil {
		return nil, err
	}
	progress("the evidence is gathered: %d events, %d objects, %d dead letters", len(e.Events), len(e.Objects), len(e.Dead))
	const storm = "kill -9 at every step and at random, restarts of NATS, Postgres, sandbox; lost answers; 429, 5xx"
	line := func(name, promise, fault string, v check.Violations) row {
		return newRow(name, promise, fault, len(e.Commands), t.Faults(), v)
	}
	return []row{
		line("G1", "one outcome a command", storm, e.OneOutcome()),
		line("G2", "one object a command", storm+"; duplicates", e.OnceAtTheVendor()),
		line("G3", "order of a key", storm+"; replicas join and leave", e.InOrder()),
		line("G5", "rows equal replay", storm, e.RowsEqualReplay()),
		line("G6", "no secret anywhere", storm+"; dead letters", e.NoSecret()),
		line("G7", "nothing vanishes, nothing crashes", "malformed messages", e.NothingVanishes()),
	}, nil
}

// stuck attacks G4.
func (o *options) stuck(ctx context.Context) (r row, err error) {
	plan := o.plan()
	plan.Commands = min(plan.Commands, 300)
	plan.VendorTimeout = time.Minute
	t, err := trial.Start(ctx, plan)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, t.Close(o.Keep || err != nil)) }()
	progress("stuck targets")
	slow, err := t.Stuck(ctx)
	if err != nil {
		return r, err
	}
	if err := t.Settle(ctx, o.Patience); err != nil {
		progress("not settled: %v", err)
	}
	e, err := t.Events(ctx)
	return newRow("G4", "no other key is delayed", "a slow target, a throttled one", len(e.Commands), t.Faults(), e.NoDelay(slow)), err
}

// lure attacks G8.
func (o *options) lure(ctx context.Context) (r row, err error) {
	t, err := trial.Start(ctx, o.plan())
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, t.Close(o.Keep || err != nil)) }()
	progress("hostile answers")
	l, err := t.Lure(ctx)
	return newRow("G8", "credentials stay, walks end", "nextLink and redirect elsewhere, loops, endless and huge answers", len(l.Tried), t.Faults(), l.NotLured()), err
}

func newRow(name, promise, fault string, commands, faults int, v check.Violations) row {
	return row{Name: name, Promise: promise, Fault: fault, Commands: commands, Faults: faults, Violations: len(v), Unit: "violations", OK: len(v) == 0, Examples: v[:min(len(v), 5)]}
}

func (o *options) print(rows []row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tPROMISE\tCOMMANDS\tFAULTS\tVIOLATIONS\tSEED\tATTACKED BY")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", r.Name, r.Promise, r.Commands, r.Faults, r.Violations, o.Seed, r.Fault)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, example := range r.Examples {
			fmt.Printf("%s violated: %s\n", r.Name, example)
		}
	}
	return nil
}

func (o *options) write(rows []row) error {
	if err := os.MkdirAll(filepath.Dir(o.JSON), 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(map[string]any{
		"machine": map[string]any{"cpus": runtime.NumCPU(), "os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version()},
		"seed":    o.Seed, "rows": rows,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.JSON, append(raw, '\n'), 0o600)
}
