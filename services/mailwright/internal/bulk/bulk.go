// Package bulk is `mailwright import`: it makes commands from the rows of a spreadsheet, publishes
// them, and writes the outcome of each to a result file.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright import`.
type Command struct {
	File        string        `arg:"" help:"CSV file in UTF-8, or .xlsx workbook. Its first row names the columns."`
	Map         string        `short:"m" required:"" env:"-" placeholder:"FILE" help:"YAML file that says how a row becomes a command."`
	Sheet       string        `env:"-" placeholder:"NAME" help:"Which sheet of a workbook. Default: the first."`
	Separator   string        `env:"-" placeholder:",|;|tab" help:"Separator of a CSV file. Default: the one its header has most of."`
	Tenant      string        `env:"MAILWRIGHT_TENANT" help:"Tenant, if the mapping names none. Default: the running system's only one."`
	DryRun      bool          `short:"n" env:"-" help:"Check every row, print what would be published, and publish nothing."`
	Examples    int           `default:"3" env:"-" placeholder:"N" help:"How many commands --dry-run shows."`
	Plan        bool          `env:"-" help:"Ask the services for a plan alone: a dry run at the vendor."`
	SkipInvalid bool          `env:"-" help:"Publish the valid rows although others are invalid."`
	Rate        float64       `env:"-" placeholder:"N" help:"Publish at most so many rows a second. Default: no limit."`
	InFlight    int           `default:"500" env:"-" placeholder:"N" help:"Rows in flight at most; those that wait for an attempt do not count."`
	Wait        bool          `default:"true" negatable:"" env:"-" help:"Wait for the outcomes."`
	Timeout     time.Duration `default:"10m" env:"-" help:"How long to wait for outcomes once every row is published."`
	Result      string        `env:"-" placeholder:"FILE" help:"CSV file with the outcome of each row. Default: see above."`
	OnlyFailed  string        `env:"-" placeholder:"FILE" help:"Only the rows that failed by this result file; needs --attempt."`
	Attempt     int           `default:"1" env:"-" placeholder:"N" help:"Number of this attempt: with --only-failed 2, then 3 and so on."`
	app.ReasonFlag
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Each row becomes one command, by a mapping:

  type: delegation.change
  tenant: contoso
  source: https://itsm.example.com/imports
  identify: [ticket]
  data:
    mailbox: '{{ .mailbox | lower }}'
    add: !list '{{ .delegates }}'

  mailwright import delegates.csv --map delegates.yaml --dry-run
  mailwright import delegates.csv --map delegates.yaml
  mailwright import hires.xlsx --sheet December --map joiner.yaml --rate 5
  mailwright import hires.csv --map joiner.yaml --only-failed hires.result.csv --attempt 2

Templates are those of Go's text/template over the columns: .login, or col "First name". Functions: lower, upper,
trim, replace "OLD" "NEW", default "VALUE", required, dn, date "FORM". A value is a text unless it has a tag: !!int,
!!float, !!bool, !list (split at ; and line breaks). A value whose templates all give nothing is left out.
docs/import.md describes everything.

Every row is checked before the first is published. The id of a command comes from its row alone, so the same call
again repeats nothing: it continues where it was interrupted, and skips rows that have an outcome in the result
file. A failed id stays failed: --only-failed with --attempt tries again under other ids.

The result file is by default beside the input, with the ending .result.csv, or .plan.csv with --plan. The number of
an attempt is a part of each id.

Exit codes: 0 all rows succeeded (with --no-wait: are published); 1 one failed, was rejected, cancelled,
dead-lettered or left out as invalid, or NATS does not answer; 2 the call, the mapping or a row is wrong, nothing
was published; 3 rows have no outcome yet, or it was interrupted: the same call continues.`
}

func (c *Command) check() error {
	switch {
	case c.InFlight < 1:
		return errors.New("--in-flight must be at least 1")
	case c.Rate < 0:
		return errors.New("--rate must not be negative")
	case c.Attempt < 1:
		return errors.New("--attempt must be at least 1")
	case c.OnlyFailed != "" && c.Attempt == 1:
		return errors.New("--only-failed needs --attempt: 2 after the first run, 3 after the second; " +
			"it keeps a retry that is interrupted from becoming another")
	case c.OnlyFailed == "" && c.Attempt > 1:
		return errors.New("--attempt needs --only-failed: without it every row would be carried out again")
	}
	return nil
}

// Run imports.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	if err := c.CheckReason(""); err != nil {
		return err
	}
	p, err := c.prepare(a)
	if err != nil {
		return &app.ExitError{Code: app.ExitUsage, Err: err}
	}
	if faults := faultsOf(p.entries); len(faults) > 0 && !c.SkipInvalid {
		return app.Usage("nothing was published:%s\n--skip-invalid leaves such rows out", describeFaults(faults))
	} else if len(faults) > 0 {
		_, _ = fmt.Fprintf(a.Err, "left out as invalid:%s\n", describeFaults(faults))
	}
	if c.DryRun {
		return summarise(len(p.entries), len(p.invalid), len(p.finished), c.Examples, p.open).print(a)
	}
	return c.publish(ctx, a, p)
}

// prepared is an import before anything of it is published.
type prepared struct {
	entries      []*entry // the rows that were chosen
	invalid      []*entry
	finished     []record // of the valid ones, those that have an outcome
	open         []*entry // those that have none: to be published
	result       string
	resultLength int64 // length of the result file
}

// prepare reads everything, and makes and checks every command.
func (c *Command) prepare(a *app.App) (*prepared, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m, err := readMapping(c.Map)
	if err != nil {
		return nil, err
	}
	t, err := readTable(source{path: c.File, separator: c.Separator, sheet: c.Sheet})
	if err != nil {
		return nil, err
	}
	if err := m.checkColumns(t, c.File); err != nil {
		return nil, err
	}
	endpoints, err := a.Endpoints()
	if err != nil {
		return nil, err
	}
	maker := maker{
		mapping:    m,
		tenant:     c.Tenant,
		onlyTenant: endpoints.Tenant,
		plan:       c.Plan,
		attempt:    c.Attempt,
		now:        time.Now().UTC(),
		used:       m.usedColumns(),
	}
	p := &prepared{entries: maker.makeAll(t), result: c.Result}
	if p.result == "" {
		p.result = defaultResultFile(c.File, c.Plan)
	}
	return p, c.chooseRows(p)
}

// chooseRows divides the rows by their outcomes in earlier runs.
func (c *Command) chooseRows(p *prepared) error {
	if c.OnlyFailed != "" {
		earlier, _, err := readResults(c.OnlyFailed)
		if err != nil {
			return fmt.Errorf("--only-failed: %w", err)
		}
		p.entries = slices.DeleteFunc(p.entries, func(e *entry) bool { return !e.failedIn(earlier) })
		if len(p.entries) == 0 {
			return fmt.Errorf("--only-failed: no row of %s failed by %s before attempt %d", c.File, c.OnlyFailed, c.Attempt)
		}
	}
	results, length, err := earlierResults(p.result)
	if err != nil {
		return err
	}
	p.resultLength = length
	for _, e := range p.entries {
		r, known := results[e.receipt.OperationID]
		switch {
		case len(e.faults) > 0:
			p.invalid = append(p.invalid, e)
		case known && r.isFinal():
			p.finished = append(p.finished, r)
		default:
			p.open = append(p.open, e)
		}
	}
	return nil
}

// failedIn reports whether the last attempt of the row before this one failed.
func (e *entry) failedIn(earlier outcomes) bool {
	if e.id == "" {
		return true // an invalid row has no id: it must be reported as a fault
	}
	for attempt := e.attempt - 1; attempt > 0; attempt-- {
		if r, known := earlier[e.operation(attempt)]; known {
			return r.hasFailed()
		}
	}
	return false
}
