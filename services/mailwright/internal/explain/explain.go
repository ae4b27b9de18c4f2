// Package explain is `mailwright explain`: where an operation stands, in plain English.
package explain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/explain"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright explain`.
type Command struct {
	Operation string `arg:"" optional:"" help:"Id of the operation; its beginning is enough if it is unique."`
	Source    string `env:"-" placeholder:"URI" help:"Instead of OPERATION, with --id and --tenant: the source of its command."`
	ID        string `env:"-" help:"Id of its command."`
	Plan      bool   `env:"-" help:"With --id: the dry run with that id."`
	Tenant    string `env:"MAILWRIGHT_TENANT" help:"Its tenant. Default: that of its events."`
	Domain    string `enum:",directory,mailbox,delegation,inventory" default:"" placeholder:"DOMAIN" env:"-" help:"Its domain, if it is not in EVENTS."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `One sentence says where the operation stands: why it is not done yet, and what would help. Below it stand who
asked, and what has happened and will happen, from the command to the outcome. Only NATS is asked.

  mailwright explain ng35avui
  mailwright explain --tenant contoso --source https://hr.example.com --id joiner-4711
  mailwright explain fuom5ln32nj4obpm5vearkc6kh --json

An operation that no service has begun has no event yet: name it by --source and --id, or by its whole id with
--tenant and --domain.

Exit codes: 0 explained; 1 nothing is known of it, or NATS does not answer; 2 the call is wrong.`
}

// Run explains.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	if (c.Operation == "") == (c.ID == "") || (c.ID == "") != (c.Source == "") || c.Plan && c.ID == "" {
		return app.Usage("name the operation either by its id, or by --source and --id of its command")
	}
	if c.ID != "" && c.Tenant == "" {
		return app.Usage("--id needs --tenant: the operation's id is made of both")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	nc, js, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	targets, err := c.targets(ctx, js)
	if err != nil {
		return err
	}
	for _, t := range targets {
		facts, err := operator.Facts(ctx, js, t)
		if err != nil {
			return err
		}
		x := explain.Explain(facts, render.Clock)
		if x.State != "" || len(x.Timeline) > 0 || len(targets) == 1 {
			return c.print(a, x)
		}
	}
	return fmt.Errorf("nothing is known of operation %s of tenant %s: neither a record, nor a dead letter, nor a command that waits to be begun; "+
		"tenant, source and id have to be exactly those of its publisher", targets[0].OperationID, c.Tenant)
}

// targets are the places where the operation may be: one if it has a record, else its domains.
func (c *Command) targets(ctx context.Context, js jetstream.JetStream) ([]operator.Target, error) {
	id := c.Operation
	if c.ID != "" {
		id = event.OperationID(c.Tenant, c.Source, c.ID)
		if c.Plan {
			id = event.PlanID(c.Tenant, c.Source, c.ID)
		}
	}
	found, err := operator.Find(ctx, js, id, c.Tenant, event.Domain(c.Domain))
	if _, wrong := errors.AsType[*operator.InvalidIDError](err); wrong {
		return nil, &app.ExitError{Code: app.ExitUsage, Err: err}
	}
	if err == nil {
		return []operator.Target{found}, nil
	}
	if !errors.Is(err, operator.ErrNoRecord) || c.Tenant == "" || !operator.IsWholeID(id) {
		return nil, err
	}
	var list []operator.Target
	for _, d := range event.Domains() {
		list = append(list, operator.Target{OperationID: strings.ToLower(id), Tenant: c.Tenant, Domain: d})
	}
	return list, nil
}

// printed is what --json prints.
type printed struct {
	Sentence string `json:"sentence"`
	explain.Explanation
}

func (c *Command) print(a *app.App, x explain.Explanation) error {
	if a.JSON {
		return a.PrintJSON(printed{x.Sentence(), x})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s (%s, %s)\n\n  %s\n\n", cmp.Or(render.Short(x.CommandType), "operation"), x.OperationID, x.Tenant, x.Domain, x.Sentence())
	for _, f := range []struct{ name, value string }{
		{"state", string(x.State)},
		{"asked by", strings.TrimSpace(x.Source + " " + x.ID)},
		{"about", x.Subject},
		{"key", x.Key},
		{"correlation", x.CorrelationID},
		{"caused by", x.CausedBy},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, "  %-11s  %s\n", f.name, render.OneLine(f.value))
		}
	}
	b.WriteByte('\n')
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, m := range x.Timeline {
		state := m.State
		if m.Future {
			state = "(" + state + ")"
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\n", m.At.Local().Format(time.DateTime), state, m.Text)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := a.Out.Write(b.Bytes())
	return err
}
