// Package inventory carries out the commands of the domain inventory.
package inventory

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/pkg/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	clients, err := tenant.Connect(d.Tenants, enpower.Vendor, func(t *tenant.Tenant) *tenant.EnPower { return t.EnPower },
		func(c *tenant.EnPower) (taker, error) {
			client, err := enpower.New(c.Client(d.Config.HTTP()))
			return taker{client: client, js: d.JS}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{event.InventorySync: worker.ForTenant(clients, worker.Handler[taker]{Perform: taker.sync})}, nil
}

// taker takes the inventories of one tenant.
type taker struct {
	client *enpower.Client
	js     jetstream.Publisher
}

// sync walks the mailboxes page by page and publishes one observation each. Repeated after a crash it starts
// anew: an observation replaces the one before.
func (t taker) sync(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.InventorySyncData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	data.MailboxType = cmp.Or(data.MailboxType, string(enpower.All))
	done := event.SyncCompletedData{Operation: run.Operation, Tenant: data.Tenant, MailboxType: data.MailboxType, StartedAt: time.Now().UTC()}
	err := t.client.Mailboxes(ctx, enpower.Query{Tenant: data.Tenant, Type: enpower.MailboxType(data.MailboxType), PageSize: data.PageSize},
		func(page enpower.Page) error {
			done.Pages++
			done.Seen += len(page.Mailboxes)
			done.Duplicates += page.Duplicates
			return t.publish(ctx, run, page.Mailboxes)
		})
	if err != nil {
		return operation.Result{}, err
	}
	done.CompletedAt = time.Now().UTC()
	return operation.Result{Type: event.SyncCompleted, Data: done}, nil
}
