// Package cancel is `mailwright cancel`: it cancels operations that wait.
package cancel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/outcome"
)

// Command is `mailwright cancel`.
type Command struct {
	Operations []string      `arg:"" name:"operation" help:"Ids of operations; the beginning of an id is enough if it is unique."`
	Tenant     string        `env:"MAILWRIGHT_TENANT" help:"Their tenant. Default: that of their events."`
	Source     string        `default:"/mailwright-cli" env:"-" placeholder:"URI" help:"Source of the cancel; see above."`
	Domain     string        `enum:",directory,mailbox,delegation,inventory" default:"" placeholder:"DOMAIN" env:"-" help:"Their domain, if it is not in EVENTS."`
	Wait       bool          `short:"w" default:"true" negatable:"" env:"-" help:"Wait for the outcomes, and print them."`
	Timeout    time.Duration `default:"60s" env:"-" help:"How long connecting, publishing and waiting may take together."`
	app.ReasonFlag
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `An operation can be cancelled while it waits: for its next attempt, for a vendor's approval, or for the time that
its command names. Its outcome is then "cancelled", and the next command of its key is carried out. A running
vendor call is not undone: the cancel waits 10 seconds for the operation to reach a state in which it can be
cancelled.

  mailwright cancel ng35avui
  mailwright cancel ng35avui --reason CHG-4711
  mailwright cancel fuom5ln32nj4obpm5vearkc6kh --no-wait

The source of a cancel must be the source of the operation's command, or one of the tenant's operators in the
services' configuration.

Exit codes: 0 cancelled, with --no-wait: published; 1 one could not be cancelled, is not known, or NATS does not
answer; 2 the call is wrong, nothing was published; 3 no outcome in time.`
}

// Run publishes a cancel for each operation.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	if err := c.CheckReason(""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("given up after %v", c.Timeout))
	defer cancel()
	nc, js, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	var targets []operator.Target
	for _, text := range c.Operations { // all of them, before any is cancelled
		t, err := find(ctx, js, text, c.Tenant, event.Domain(c.Domain))
		if err != nil {
			return err
		}
		targets = append(targets, t)
	}
	receipts, err := c.publish(ctx, a, js, targets)
	if err != nil || !c.Wait {
		return err
	}
	return outcome.Await(ctx, a, js, receipts)
}

// find resolves the id of an operation, or its beginning. A text that is none is a wrong call.
func find(ctx context.Context, js jetstream.JetStream, text, tenant string, domain event.Domain) (operator.Target, error) {
	t, err := operator.Find(ctx, js, text, tenant, domain)
	if _, wrong := errors.AsType[*operator.InvalidIDError](err); wrong {
		err = &app.ExitError{Code: app.ExitUsage, Err: err}
	}
	return t, err
}

// publish publishes a cancel for each target.
func (c *Command) publish(ctx context.Context, a *app.App, js jetstream.JetStream, targets []operator.Target) (receipts []client.Receipt, err error) {
	act := audit.Act{Action: audit.Cancel, Reason: c.Reason, Count: len(targets)}
	for _, t := range targets {
		act.Tenants, act.Operations = append(act.Tenants, t.Tenant), append(act.Operations, t.OperationID)
	}
	err = a.Recorder(js).Record(ctx, act, func(tally *audit.Tally) error {
		for _, t := range targets {
			r, err := operator.Cancel(ctx, js, t, operator.Actor{Source: c.Source, Person: app.Caller()})
			if err != nil {
				return fmt.Errorf("operation %s: %w", t.OperationID, err)
			}
			tally.Add(1)
			receipts = append(receipts, r)
			if err := c.report(a, t, r); err != nil {
				return err
			}
		}
		return nil
	})
	return receipts, err
}

// report prints that a cancel was published: on standard output, or as progress on standard error
// if the outcomes go to standard output.
func (c *Command) report(a *app.App, t operator.Target, r client.Receipt) error {
	if a.JSON && !c.Wait {
		return a.PrintJSON(r)
	}
	out := a.Out
	if c.Wait {
		out = a.Err
	}
	_, err := fmt.Fprintf(out, "cancelling %s (%s, %s)\n  operation  %s\n  results    %s\n",
		t.OperationID, t.Tenant, t.Domain, r.OperationID, r.Results)
	return err
}
