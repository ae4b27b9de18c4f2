// Package inventory carries out the commands of the domain inventory.
package inventory

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/worker"
)

const (
	// pageSize where the command names none is the most that the vendor allows: a tenth of the
	// requests of its own default.
	pageSize = 1000
	// maxUnconfirmed bounds the observations in flight, and so memory: those of two pages.
	maxUnconfirmed = 2 * pageSize
	// ackTimeout is how long the stream may take to acknowledge an observation, before it is
	// published again.
	ackTimeout = 10 * time.Second
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	// A JetStream handle of our own: its limit on messages in flight is not shared with other
	// calls.
	js, err := jetstream.New(d.JS.Conn(),
		jetstream.WithPublishAsyncMaxPending(maxUnconfirmed),
		jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return nil, err
	}
	clients, err := tenant.Connect(d.Tenants, enpower.Vendor, func(t *tenant.Tenant) *tenant.EnPower { return t.EnPower },
		func(c *tenant.EnPower) (syncer, error) {
			cfg := c.Client(d.Config.HTTP())
			cfg.PagePatience = worker.PagePatience
			client, err := enpower.New(cfg)
			return syncer{client: client, guard: guardOf(c), js: js}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{event.TypeInventorySync: worker.ForTenant(clients, worker.Handler[syncer]{Check: worker.Check((*tenant.Tenant).CheckSync), Perform: syncer.sync})}, nil
}

// syncer takes the inventories of one tenant.
type syncer struct {
	client *enpower.Client
	guard  guard
	js     jetstream.JetStream
}

// sync walks the mailboxes page by page and publishes what differs from what was published last.
// Repeated after a crash it walks from the start, and publishes only what it had not come to.
func (s syncer) sync(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	var data event.InventorySyncData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, err
	}
	data.MailboxType = cmp.Or(data.MailboxType, string(enpower.All))
	data.PageSize = cmp.Or(data.PageSize, pageSize)
	stream, err := s.js.Stream(ctx, topology.StreamMailboxes)
	if err != nil {
		return operation.Reply{}, notStored(err)
	}
	w := &walk{
		syncer: s, run: run, store: newStore(s.js, stream, run), command: data, scope: scope{data.Tenant, data.MailboxType},
		done: event.SyncCompletedData{Operation: run.Operation, Tenant: data.Tenant, MailboxType: data.MailboxType, StartedAt: time.Now().UTC()},
	}
	if err := w.walkAll(ctx); err != nil {
		return operation.Reply{}, err
	}
	w.done.Warnings = w.warnings.list()
	w.done.CompletedAt = time.Now().UTC()
	return operation.Reply{Type: event.TypeSyncCompleted, Data: w.done}, nil
}
