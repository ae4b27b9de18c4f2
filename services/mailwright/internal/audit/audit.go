// Package audit is `mailwright audit`: it lists what people did to the system.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/topology"
	acts "github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright audit`.
type Command struct {
	Since     string   `env:"-" placeholder:"24h|TIME" help:"Only acts since a time ago, or since an RFC 3339 time."`
	Who       string   `env:"-" placeholder:"TEXT" help:"Only acts of those whose name, or whose NATS user, has this text in it."`
	Action    []string `enum:"again,cancel,dead.discard,dead.replay,erase,import,projection.rebuild,retry,secrets.publish,send,streams.apply" env:"-" help:"Only these actions: ${enum}."`
	Result    []string `enum:"done,refused,failed,unknown" env:"-" help:"Only acts that ended so: ${enum}."`
	Operation string   `short:"o" env:"-" placeholder:"ID" help:"Only acts on this operation; the beginning of its id is enough."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Lists what people did, the oldest first: when, who, by which NATS user, what, how it ended, to how many things, the
tenants, and why. With --json each line is one act, with its operations and dead letters.

  mailwright audit --since 24h
  mailwright audit --who alex --action dead.discard,dead.replay
  mailwright audit --operation fuom5ln3 --json
  mailwright audit --result unknown --nats-user auditor --nats-nkey seeds/auditor.nk

An act is stored in AUDIT before it is done, and its result after. One that is "unknown" is under way, or its program
was killed: nobody knows how much of it was done. The NATS user is vouched for by the permissions of NATS; the name
is what the program said. Postgres is not needed; the view audit has the same.

Exit codes: 0 listed, even if there are none; 1 NATS does not answer; 2 the call is wrong.`
}

// Run lists.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	var since time.Time
	if c.Since != "" {
		var err error
		if since, err = app.Ago(c.Since, time.Now()); err != nil {
			return app.Usage("--since %s: %w", c.Since, err)
		}
	}
	connectCtx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	nc, js, err := a.Connect(connectCtx)
	if err != nil {
		return err
	}
	defer nc.Close()
	entries, unreadable, err := acts.Read(ctx, js)
	if err != nil {
		return explain(nc, err)
	}
	entries = slices.DeleteFunc(entries, func(e *acts.Entry) bool { return e.At().Before(since) || !c.matches(e) })
	if err := c.print(a, entries); err != nil || unreadable == 0 {
		return err
	}
	_, err = fmt.Fprintf(a.Err, "%s of AUDIT cannot be read\n", render.Count(unreadable, "message", "messages"))
	return err
}

// explain names what is missing: the stream, or the permission to read it.
func explain(nc *nats.Conn, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("stream %s: %w", topology.StreamAudit, client.ErrNoStreams)
	}
	return cmp.Or(bus.Denied(nc), err)
}

func (c *Command) matches(e *acts.Entry) bool {
	who := strings.ToLower(c.Who)
	return (strings.Contains(strings.ToLower(e.AuthID), who) || strings.Contains(strings.ToLower(e.NATSUser), who)) &&
		(len(c.Action) == 0 || slices.Contains(c.Action, e.Action)) &&
		(len(c.Result) == 0 || slices.Contains(c.Result, e.Result)) &&
		(c.Operation == "" || slices.ContainsFunc(e.Operations, func(id string) bool { return strings.HasPrefix(id, strings.ToLower(c.Operation)) }))
}

func (c *Command) print(a *app.App, entries []*acts.Entry) error {
	if a.JSON {
		for _, e := range entries {
			if err := a.PrintJSON(e); err != nil {
				return err
			}
		}
		return nil
	}
	if len(entries) == 0 {
		_, err := fmt.Fprintln(a.Err, "nobody did anything that AUDIT tells of")
		return err
	}
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TIME\tWHO\tNATS USER\tACTION\tRESULT\tDONE\tTENANTS\tREASON") // Flush reports an error
	for _, e := range entries {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", render.Clock(e.At()), cell(e.AuthID), cell(e.NATSUser), cell(actionOf(e)), cell(e.Result),
			doneOf(e), cell(strings.Join(e.Tenants, ", ")), cell(e.Reason))
	}
	return w.Flush()
}

// actionOf is the action with the options that widen it.
func actionOf(e *acts.Entry) string {
	text := e.Action
	for _, o := range e.Options {
		text += " --" + o
	}
	return text
}

// doneOf is how many things an act was done to, of how many.
func doneOf(e *acts.Entry) string {
	if e.Result == acts.Unknown {
		return "? of " + render.Thousands(e.Count)
	}
	return render.Thousands(e.Done) + " of " + render.Thousands(e.Count)
}

// cell makes a text that others wrote fit for a table.
func cell(text string) string { return cmp.Or(render.OneLine(text), "-") }
