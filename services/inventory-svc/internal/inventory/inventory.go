// Package inventory carries out the commands of the domain inventory.
package inventory

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/pkg/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/worker"
)

const (
	// pageSize where the command names none is the most that the vendor allows: a tenth of the requests of its own default.
	pageSize = 1000
	// mostUnconfirmed bounds the observations under way, and so memory: those of two pages.
	mostUnconfirmed = 2 * pageSize
	// confirmation is how long the stream may take to confirm an observation, before it is offered once more.
	confirmation = 10 * time.Second
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	// A connection's handle of our own: its limit on what is under way is not shared with other calls.
	js, err := jetstream.New(d.JS.Conn(), jetstream.WithPublishAsyncMaxPending(mostUnconfirmed), jetstream.WithPublishAsyncTimeout(confirmation))
	if err != nil {
		return nil, err
	}
	clients, err := tenant.Connect(d.Tenants, enpower.Vendor, func(t *tenant.Tenant) *tenant.EnPower { return t.EnPower },
		func(c *tenant.EnPower) (taker, error) {
			cfg := c.Client(d.Config.HTTP())
			cfg.PagePatience = worker.PagePatience
			client, err := enpower.New(cfg)
			return taker{client: client, guard: guardOf(c), js: js}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{event.InventorySync: worker.ForTenant(clients, worker.Handler[taker]{Check: worker.Check((*tenant.Tenant).CheckSync), Perform: taker.sync})}, nil
}

// taker takes the inventories of one tenant.
type taker struct {
	client *enpower.Client
	guard  guard
	js     jetstream.JetStream
}

// sync walks the mailboxes page by page and publishes what differs from what was published last. Repeated after a crash it walks
// from the start, and publishes only what it had not come to.
func (t taker) sync(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.InventorySyncData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	data.MailboxType = cmp.Or(data.MailboxType, string(enpower.All))
	data.PageSize = cmp.Or(data.PageSize, pageSize)
	stream, err := t.js.Stream(ctx, bus.Mailboxes)
	if err != nil {
		return operation.Result{}, notStored(err)
	}
	w := &walk{
		taker: t, run: run, store: store{js: t.js, stream: stream, run: run}, command: data, scope: scope{data.Tenant, data.MailboxType},
		done: event.SyncCompletedData{Operation: run.Operation, Tenant: data.Tenant, MailboxType: data.MailboxType, StartedAt: time.Now().UTC()},
	}
	if err := w.take(ctx); err != nil {
		return operation.Result{}, err
	}
	w.done.CompletedAt = time.Now().UTC()
	return operation.Result{Type: event.SyncCompleted, Data: w.done}, nil
}
