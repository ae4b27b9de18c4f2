// Package inventory carries out the commands of the domain inventory: it lists a tenant's mailboxes
// at AvePoint EnPower, and publishes an observation for each that is new, changed or missing.
package inventory

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/worker"
)

const (
	// pageSize applies if the command gives none. It is the largest that the vendor allows, and
	// takes a tenth of the requests that the vendor's default takes.
	pageSize = 1000
	// maxUnconfirmed bounds the observations that are published and not acknowledged yet, to those
	// of two pages. It bounds memory.
	maxUnconfirmed = 2 * pageSize
	// ackTimeout is how long the stream may take to acknowledge an observation. After that it is
	// published again.
	ackTimeout = 10 * time.Second
)

// Handlers returns the handlers of this domain, by command type. The error is about NATS, or about
// a tenant whose configuration is incomplete.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	// A JetStream handle of its own has its own limit on messages in flight.
	js, err := bus.NewJetStream(d.JS.Conn(), d.JS.Options(),
		jetstream.WithPublishAsyncMaxPending(maxUnconfirmed),
		jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return nil, err
	}
	clients, err := tenant.Connect(d.Tenants, enpower.Vendor, d.Log,
		func(t *tenant.Tenant) *tenant.EnPower { return t.EnPower },
		func(c *tenant.EnPower) (syncer, error) {
			cfg := c.Client(d.Config.HTTP())
			cfg.PageTimeout = worker.PageTimeout
			client, err := enpower.New(cfg)
			return syncer{client: client, guard: guardOf(c), js: js}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{
		event.TypeInventorySync: worker.ForTenant(clients, worker.Handler[syncer]{
			Check: worker.Check((*tenant.Tenant).CheckSync), Perform: syncer.sync,
		}),
	}, nil
}

// syncer carries out inventory.sync for one tenant.
type syncer struct {
	client *enpower.Client
	guard  guard
	js     jetstream.JetStream
}

// sync reads the vendor's list of mailboxes page by page, and publishes an observation for each
// mailbox that differs from its last observation. An attempt after a crash reads the list from the
// start, and publishes only what the attempt before did not publish.
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
		syncer: s, attempt: run, store: newStore(s.js, stream, run), command: data,
		scope: scope{data.Tenant, data.MailboxType},
		result: event.SyncCompletedData{
			Operation: run.Operation, Tenant: data.Tenant, MailboxType: data.MailboxType, StartedAt: time.Now().UTC(),
		},
	}
	if err := w.run(ctx); err != nil {
		return operation.Reply{}, err
	}
	w.result.Warnings = w.warnings.list()
	w.result.CompletedAt = time.Now().UTC()
	return operation.Reply{Type: event.TypeSyncCompleted, Data: w.result}, nil
}
