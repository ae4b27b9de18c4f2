package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Sync is `mailwright inventory sync`.
type Sync struct {
	Tenant        string        `env:"MAILWRIGHT_TENANT" help:"Tenant. Default: the running system's only one."`
	VendorTenant  string        `env:"-" placeholder:"ID|DOMAIN" help:"Only one tenant of those that EnPower lists."`
	Type          string        `enum:"all,user,shared,resource,room,equipment" default:"all" env:"-" help:"Which mailboxes: ${enum}. all is user and shared; resource is room and equipment."`
	AcceptMissing bool          `env:"-" help:"After a suspect inventory: report mailboxes as missing however many they are."`
	PageSize      int           `env:"-" placeholder:"N" help:"Mailboxes a page, 1 to 1000. Default: 1000."`
	ID            string        `env:"-" help:"The command's id. Default: a new UUID."`
	Timeout       time.Duration `default:"2h" env:"-" help:"How long to wait for the outcome."`
	app.ReasonFlag
	Output
}

// Help implements kong.HelpProvider.
func (Sync) Help() string {
	return `Publishes inventory.sync and waits: progress on standard error, the result on standard output. Ctrl-C ends the
waiting, not the inventory. Only differences from the previous inventory are published and reach Postgres.

Exit codes: 0 taken; 1 failed, rejected, cancelled or dead-lettered, or NATS does not answer; 2 the call is wrong;
3 no outcome in time: it goes on; 5 taken, but suspect: too many mailboxes were not listed, and none was reported
missing.`
}

var countColumns = []column{{name: "what", width: 12}, {name: "mailboxes", width: 12, right: true}}

// Run takes an inventory.
func (c *Sync) Run(ctx context.Context, a *app.App) error {
	if err := c.CheckReason(""); err != nil {
		return err
	}
	e, err := c.command()
	if err != nil {
		return err
	}
	endpoints, err := a.Endpoints()
	if err != nil {
		return err
	}
	tenant := cmp.Or(c.Tenant, endpoints.Tenant)
	if tenant == "" {
		return app.Usage("which tenant? --tenant names a configured one")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("given up after %v", c.Timeout))
	defer cancel()
	nc, js, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	receipt, err := c.send(ctx, a, js, client.Command{Event: e, Tenant: tenant})
	if err != nil {
		return err
	}
	progress := app.NewLines(a.Err)
	if err := progress.Print("", "operation "+receipt.OperationID); err != nil {
		return err
	}
	var last client.Update
	err = client.AwaitAll(ctx, js, []client.Receipt{receipt}, func(n client.Update) {
		if last = n; !n.Final() {
			line := render.LineOf(n.Event)
			_ = progress.Print(line.Topic, render.Clock(line.Time)+"  "+line.Text) // the outcome counts
		}
	})
	if errors.Is(err, client.ErrNoOutcome) {
		err = fmt.Errorf("%w; 'mailwright watch --operation %s' follows it", err, render.ShortOperation(receipt.OperationID))
		return &app.ExitError{Code: app.ExitNoOutcome, Err: err}
	}
	if err != nil {
		return err
	}
	if last.Dead != nil {
		return fmt.Errorf("given up, see DEAD: %s", render.DescribeDead(*last.Dead))
	}
	return c.report(a, last.Event)
}

// send publishes the command, and has AUDIT tell of it.
func (c *Sync) send(ctx context.Context, a *app.App, js jetstream.JetStream, command client.Command) (receipt client.Receipt, err error) {
	act := audit.Act{
		Action: audit.Send, Reason: c.Reason, Tenants: []string{command.Tenant},
		Operations: []string{event.OperationOf(command.Tenant, command.Event)}, Count: 1,
	}
	if c.AcceptMissing {
		act.Options = []string{"accept-missing"}
	}
	err = a.Recorder(js).Record(ctx, act, func(tally *audit.Tally) error {
		receipt, err = client.Send(ctx, js, command)
		if err == nil {
			tally.Add(1)
		}
		return err
	})
	return receipt, err
}

func (c *Sync) command() (event.Event, error) {
	e, err := event.New(cmp.Or(c.ID, watermill.NewUUID()), app.DefaultSource(), event.TypeInventorySync, event.InventorySyncData{
		Tenant: c.VendorTenant, MailboxType: c.Type, PageSize: event.Int(c.PageSize), AcceptMissing: c.AcceptMissing,
	})
	if err != nil {
		return e, err
	}
	app.SetPerson(&e)
	if faults := event.Check(e); len(faults) > 0 {
		return e, app.Usage("%s", render.DescribeFaults(faults))
	}
	return e, nil
}

// report prints what was found, and says by its error how it ended.
func (c *Sync) report(a *app.App, outcome event.Event) error {
	if outcome.Type() != event.TypeSyncCompleted {
		return errors.New(render.Describe(outcome))
	}
	var d event.SyncCompletedData
	if err := outcome.DataAs(&d); err != nil {
		return err
	}
	if a.JSON {
		if err := a.PrintJSON(outcome); err != nil {
			return err
		}
	} else if err := c.printCounts(a, d); err != nil {
		return err
	}
	if d.Suspect {
		return &app.ExitError{Code: app.ExitSuspect, Err: fmt.Errorf(
			"suspect: %s of %s known mailboxes were not listed, so none was reported missing; "+
				"if they are gone indeed, take it again with --accept-missing",
			render.Thousands(d.Absent), render.Thousands(d.Known))}
	}
	return nil
}

func (c *Sync) printCounts(a *app.App, d event.SyncCompletedData) error {
	to := c.printer(a, countColumns)
	for _, n := range []struct {
		what  string
		count int
	}{
		{"seen", d.Seen},
		{"new", d.New},
		{"changed", d.Changed},
		{"returned", d.Returned},
		{"unchanged", d.Unchanged},
		{"known before", d.Known},
		{"absent", d.Absent},
		{"missing", d.Missing},
		{"duplicates", d.Duplicates},
		{"without id", d.Unidentified},
		{"truncated", d.Truncated},
		{"unpublished", d.Unpublished},
	} {
		if err := to.row(record{values: []any{n.what, n.count}}); err != nil {
			return err
		}
	}
	if err := to.end(); err != nil {
		return err
	}
	took := d.CompletedAt.Sub(d.StartedAt).Round(time.Millisecond)
	_, err := fmt.Fprintf(a.Err, "%s in %v\n", render.Count(d.Pages, "page", "pages"), took)
	return err
}
