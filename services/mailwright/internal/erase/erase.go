// Package erase is `mailwright erase`: it takes what the system holds about a person out of every
// stream and every table.
package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/erasure"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/permissions"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright erase`.
type Command struct {
	Match  []string `required:"" env:"-" placeholder:"TEXT" help:"What names the person, such as a mail address: at least 5 characters, a whole word, in any case of letters. Give it several times for several names."`
	Tenant []string `env:"-" help:"Only the data of these tenants."`
	DryRun bool     `env:"-" help:"Only show what would be erased."`
	Yes    bool     `short:"y" env:"-" help:"Do not ask."`
	app.ReasonFlag
	failpoint.Flags
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Finds the operations of which a command, an event or a dead letter names the person, and the observations and
drift of mailboxes that do. Takes them out of COMMANDS, DEAD, PARKED, EVENTS, MAILBOXES and DRIFT, and then makes
all rows in Postgres anew from what is left, as 'mailwright projection rebuild' does. AUDIT and the view erasures
keep when that was, who did it, why, and how many messages it took out.

Nothing is erased while one of the operations is open, or a command of one is still in flight: they are named.
If it is killed, the same call again goes on; so does any other call of it.

An operation is erased whole. If it names others as well, as the delegates of a shared mailbox do, the system no
longer knows that state: have it read again. A command that is sent again after that, with the same source and
id, is carried out anew. An inventory observes a mailbox again as long as the vendor lists it.

Not reached are backups, log files, what other programs have read, and what is written while this runs: call it
again to see. EVENTS and Postgres free the space, but do not overwrite it.

  mailwright erase --match alex@contoso.com --match a.user --dry-run
  mailwright erase --match alex@contoso.com --tenant contoso --reason TICKET-1234

It connects to NATS as the user erasure, and to Postgres as the user that owns the tables.

Exit codes: 0 erased, or nothing was found; 1 something is open, or it did not end; 2 the call is wrong, nothing
was done.`
}

// minMatch is the length of the shortest text to look for: a shorter one would match by chance.
const minMatch = 5

func (c *Command) check() error {
	for _, text := range c.Match {
		if len(strings.TrimSpace(text)) < minMatch || text != strings.TrimSpace(text) {
			return app.Usage("--match %q: must have at least %d characters, and no space around them", text, minMatch)
		}
	}
	if erasure.NewMatcher(c.Match).Text(c.Reason) {
		return app.Usage("--reason: must not name the person, since it stays; give the number of a ticket")
	}
	if c.DryRun {
		return nil
	}
	return c.CheckReason("an erasure")
}

// result is what --json prints.
type result struct {
	// Erased is the record of what was erased.
	Erased *erasure.Record `json:"erased,omitempty"`
	// Found counts what would be erased.
	Found      *erasure.Counts     `json:"found,omitempty"`
	Operations []erasure.Operation `json:"operations,omitempty"`
	Open       []erasure.Open      `json:"open,omitempty"`
}

// Run erases.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	if err := c.check(); err != nil {
		return err
	}
	cfg, closeAll, err := c.connect(ctx, a)
	if err != nil {
		return err
	}
	defer closeAll()
	found, err := erasure.Find(ctx, cfg)
	if err != nil {
		return err
	}
	counts := found.Counts()
	open := len(found.Open) > 0
	if c.DryRun || open || counts == (erasure.Counts{}) {
		err := c.show(a, result{Found: &counts, Operations: found.Operations, Open: found.Open})
		switch {
		case err != nil, !open:
			return err
		case c.DryRun:
			return erasure.ErrOpen
		}
	} else if err := c.confirm(a, counts); err != nil {
		return err
	}
	record, err := c.erase(ctx, a, cfg, found)
	if err != nil {
		return err
	}
	return c.show(a, result{Erased: &record})
}

// erase erases, and tells AUDIT. What is open is refused.
func (c *Command) erase(ctx context.Context, a *app.App, cfg erasure.Config, found *erasure.Found) (record erasure.Record, err error) {
	act := audit.Act{Action: audit.Erase, Reason: c.Reason, Tenants: c.Tenant, Count: len(found.Operations)}
	err = a.RecorderAs(cfg.JS, permissions.Erasure).Record(ctx, act, func(tally *audit.Tally) error {
		record, err = erasure.Run(ctx, cfg, found)
		if errors.Is(err, erasure.ErrOpen) {
			return audit.Refused(err)
		}
		if err == nil {
			tally.Add(record.Operations)
		}
		return err
	})
	return record, err
}

func (c *Command) confirm(a *app.App, n erasure.Counts) error {
	if c.Yes || a.Prompt == nil {
		return nil
	}
	yes, err := a.Confirm(fmt.Sprintf("Erase %s for ever?", describe(n)))
	if err == nil && !yes {
		err = errors.New("nothing was done")
	}
	return err
}

// connect connects to both servers, each within [app.ServerTimeout].
func (c *Command) connect(ctx context.Context, a *app.App) (cfg erasure.Config, closeAll func(), err error) {
	process.TuneMemory() // a replay reads as much as a service does
	endpoints, err := a.Endpoints()
	if err != nil {
		return cfg, nil, err
	}
	connectCtx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	pool, err := postgres.Open(ctx, endpoints.Postgres, replay.Connections())
	if err != nil {
		return cfg, nil, err
	}
	if err := pool.Ping(connectCtx); err != nil {
		pool.Close()
		return cfg, nil, fmt.Errorf("Postgres does not answer, and it holds rows of the person: --database-url says where it is (%w)", err)
	}
	nc, js, err := a.ConnectAs(connectCtx, permissions.Erasure)
	if err != nil {
		pool.Close()
		return cfg, nil, err
	}
	progress := a.NewProgress()
	cfg = erasure.Config{
		JS: js, Pool: pool, Log: a.Log, Match: c.Match, Tenants: c.Tenant, Person: app.Caller(), Reason: c.Reason,
		Progress:   func(stage string) { progress.Set(stage, 0, 0, "") },
		Failpoints: c.Set(),
	}
	return cfg, func() { nc.Close(); pool.Close() }, nil
}

// show prints what was found, or erased.
func (c *Command) show(a *app.App, r result) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	if r.Erased != nil {
		_, err := fmt.Fprintf(a.Out, "erased %s: erasure %d\n", describe(r.Erased.Counts), r.Erased.Erasure)
		return err
	}
	open := map[erasure.Operation]string{}
	for _, o := range r.Open {
		open[o.Operation] = o.Why
	}
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	if len(r.Operations)+len(r.Open) > 0 {
		_, _ = fmt.Fprintln(w, "TENANT\tDOMAIN\tOPERATION\tOPEN") // Flush reports an error
	}
	for _, o := range r.Operations {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.Tenant, o.Domain, o.ID, open[o])
	}
	for _, o := range slices.DeleteFunc(slices.Clone(r.Open), func(o erasure.Open) bool { return o.ID != "" }) {
		_, _ = fmt.Fprintf(w, "%s\t%s\t-\t%s\n", o.Tenant, o.Domain, o.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.Out, "found %s\n", describe(*r.Found))
	return err
}

// describe names the counts that are not 0.
func describe(n erasure.Counts) string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{
		{uint64(n.Operations), "operation"}, {n.Commands, "command"}, {n.Events, "event"}, {n.Observations, "observation"},
		{n.Drift, "drift message"}, {n.DeadLetters, "dead letter"}, {n.Rows, "row"},
	} {
		switch p.n {
		case 0:
		case 1:
			parts = append(parts, "1 "+p.what)
		default:
			parts = append(parts, fmt.Sprintf("%d %ss", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
