// Package send is `mailwright send`: it publishes commands and, if asked, waits for their outcomes.
package send

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/outcome"
)

// Command is `mailwright send`.
type Command struct {
	Type        string        `arg:"" optional:"" help:"Type of one command, in full or short: mailbox.create."`
	Data        string        `short:"d" env:"-" placeholder:"@FILE|-|JSON" help:"Its data: a file, standard input, or JSON without secrets."`
	Set         []string      `sep:"none" env:"-" placeholder:"PATH=VALUE" help:"Set a member of the data; see above. No secret."`
	File        string        `short:"f" env:"-" placeholder:"FILE|-" help:"Instead of TYPE: CloudEvents: one, an array, or JSON lines."`
	Domain      string        `enum:",directory,mailbox,delegation,inventory" default:"" placeholder:"DOMAIN" env:"-" help:"Of operation.cancel: the domain of its target."`
	Key         string        `env:"-" help:"Key of the command. Default: see above."`
	ID          string        `env:"-" help:"The command's id: the same source and id is carried out once. Default: a new UUID."`
	Source      string        `env:"-" placeholder:"URI" help:"Who asks. Default: /mailwright-cli/<user>@<host>."`
	Subject     string        `env:"-" help:"Whom it is about, for people; no secret."`
	Tenant      string        `env:"MAILWRIGHT_TENANT" help:"Tenant. Default: the event's tenantid, else the only one of the system."`
	Correlation string        `env:"-" placeholder:"ID" help:"Carried through to every result, such as a ticket's number."`
	NotBefore   string        `env:"-" placeholder:"TIME|2h" help:"Not carried out before: an RFC 3339 time, or a time from now."`
	Plan        bool          `env:"-" help:"Ask the service for a plan alone: a dry run at the vendor."`
	Mode        string        `enum:"binary,structured" default:"binary" env:"-" help:"Content mode of the message: binary or structured."`
	Wait        bool          `short:"w" env:"-" help:"Wait for the outcomes: progress on standard error, outcomes on standard output."`
	Timeout     time.Duration `default:"60s" env:"-" help:"How long connecting, publishing and waiting may take together."`
	DryRun      bool          `short:"n" env:"-" help:"Print what would be published, secrets redacted, and publish nothing."`
	onlyTenant  string        // of the running system
	NoCheck     bool          `env:"-" help:"Publish also what does not fit its schema, and let the service reject it."`
	app.ReasonFlag
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Data with a password comes from a file or from standard input. On the command line it is refused, because the
shell's history and the list of processes would show it.

  mailwright send directory.businessuser.create --data @user.json --wait
  make-user | mailwright send directory.businessuser.create --data - --wait
  mailwright send --file commands.jsonl --wait --json
  mailwright send delegation.change --set mailbox=alex@contoso.com --set add.0=dana@contoso.com
  mailwright send mailbox.create --tenant contoso --data @mailbox.json --id joiner-3 --plan --wait
  mailwright send mailbox.create --data @mailbox.json --not-before 2h
  mailwright send mailbox.create --data @mailbox.json --dry-run

Types: ` + strings.Join(shortTypes(), ", ") + `.

A command goes to a tenant, a domain and a key: commands with the same three take effect in the order published.
The domain is that of the type. The default key is what the command is about, in lower case:

  directory.object.create        the object's cn, else ou, sAMAccountName, userPrincipalName
  directory.businessuser.create  userPrincipalName
  mailbox.create                 directoryObject
  delegation.*                   mailbox, else "all"
  inventory.sync                 tenant, else "all"
  operation.cancel               operationId

--set sets a member by its path, such as mailboxParameters.alias=jsmith or properties.0.values.0=x. A value that is
valid JSON is taken as JSON, any other as text.

A password is sealed before it is published, if keys are published for the tenant: see 'mailwright secrets'.

A plan is an operation of its own: the command may have the same --id afterwards. --dry-run publishes nothing. A
command with --not-before can be cancelled until then.

Exit codes: 0 published, with --wait: all succeeded; 1 one failed, was rejected, cancelled or dead-lettered, or
NATS does not answer; 2 the call or a command is wrong, nothing was published; 3 no outcome in time: the operation
goes on, and 'mailwright watch --operation ID' follows it.`
}

func shortTypes() []string {
	var list []string
	for _, t := range event.CommandTypes() {
		list = append(list, render.Short(t))
	}
	return list
}

// Run publishes, and waits if asked.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	endpoints, err := a.Endpoints()
	if err != nil {
		return err
	}
	c.onlyTenant = endpoints.Tenant
	if err := c.CheckReason(""); err != nil {
		return err
	}
	commands, err := c.commands(a.Stdin())
	if err != nil {
		return &app.ExitError{Code: app.ExitUsage, Err: err}
	}
	if err := c.check(commands); err != nil {
		return &app.ExitError{Code: app.ExitUsage, Err: err}
	}
	if c.DryRun {
		return c.preview(a, commands)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("given up after %v", c.Timeout))
	defer cancel()
	nc, js, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	receipts, err := c.publish(ctx, a, js, commands)
	if err != nil || !c.Wait {
		return err
	}
	return outcome.Await(ctx, a, js, receipts)
}

// command adds the tenant, domain and key of the flags to an event, and who sends it.
func (c *Command) command(e event.Event) client.Command {
	e = e.Clone()
	app.SetPerson(&e)
	return client.Command{
		Event:  e,
		Tenant: cmp.Or(c.Tenant, event.Extension(e, event.AttrTenantID), c.onlyTenant),
		Domain: event.Domain(c.Domain),
		Key:    c.Key,
		Mode:   c.mode(),
		Sealer: sealed.Sealer{},
	}
}

func (c *Command) mode() event.Mode {
	if c.Mode == "structured" {
		return event.Structured
	}
	return event.Binary
}

func (c *Command) publish(ctx context.Context, a *app.App, js jetstream.JetStream, commands []event.Event) (receipts []client.Receipt, err error) {
	act, err := c.act(commands)
	if err != nil {
		return nil, err
	}
	err = a.Recorder(js).Record(ctx, act, func(tally *audit.Tally) error {
		for i, e := range commands {
			r, err := client.Send(ctx, js, c.command(e))
			if err != nil {
				return errUnpublished(commands, i, err)
			}
			tally.Add(1)
			receipts = append(receipts, r)
			if err := c.report(a, r); err != nil {
				return err
			}
		}
		return nil
	})
	return receipts, err
}

// act is what AUDIT is told of commands that are about to be published.
func (c *Command) act(commands []event.Event) (audit.Act, error) {
	act := audit.Act{Action: audit.Send, Reason: c.Reason, Count: len(commands)}
	for _, e := range commands {
		_, r, err := c.command(e).Message()
		if err != nil {
			return act, err
		}
		act.Tenants, act.Operations = append(act.Tenants, r.Tenant), append(act.Operations, r.OperationID)
	}
	if c.NoCheck {
		act.Options = []string{"no-check"}
	}
	return act, nil
}

// errUnpublished says how many commands were published, and which may be sent again.
func errUnpublished(commands []event.Event, published int, err error) error {
	e := commands[published]
	return fmt.Errorf("%d of %d published, then: %w\n  it is safe to send the command with source %s and id %s again",
		published, len(commands), err, e.Source(), e.ID())
}

// report prints a published command: on standard output, or as progress on standard error if the
// outcomes go to standard output.
func (c *Command) report(a *app.App, r client.Receipt) error {
	if a.JSON && !c.Wait {
		return a.PrintJSON(r)
	}
	out := a.Out
	if c.Wait {
		out = a.Err
	}
	_, err := fmt.Fprintf(out, "%s published\n  operation  %s\n  results    %s\n", render.Short(r.Type), r.OperationID, r.Results)
	return err
}
