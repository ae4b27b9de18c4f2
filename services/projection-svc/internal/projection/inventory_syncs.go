package projection

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/projection-svc/internal/projector"
)

// InventorySyncs keeps inventory_syncs: completed walks over the inventory.
type InventorySyncs struct{}

// Name of the projection.
func (InventorySyncs) Name() string { return "inventory_syncs" }

// Stream that it follows.
func (InventorySyncs) Stream() string { return bus.Events }

// Subjects of operations on inventories.
func (InventorySyncs) Subjects() []string { return []string{topic(event.Inventory)} }

type syncRow struct {
	OperationID   string    `db:"operation_id"`
	Tenant        string    `db:"tenant"`
	VendorTenant  string    `db:"vendor_tenant"`
	MailboxType   string    `db:"mailbox_type"`
	Seen          int64     `db:"seen"`
	Duplicates    int64     `db:"duplicates"`
	Pages         int64     `db:"pages"`
	StartedAt     time.Time `db:"started_at"`
	CompletedAt   time.Time `db:"completed_at"`
	CorrelationID string    `db:"correlation_id"`
	LastSequence  int64     `db:"last_sequence"`
}

var inventorySyncs = table[syncRow]{name: "inventory_syncs", key: "operation_id"}

// Apply writes the rows.
func (InventorySyncs) Apply(ctx context.Context, tx pgx.Tx, records []projector.Record) error {
	events, err := results(records, event.SyncCompleted)
	if err != nil {
		return err
	}
	rows := make([]syncRow, len(events))
	for i, r := range events {
		var data event.SyncCompletedData
		if err := r.into(&data); err != nil {
			return err
		}
		rows[i] = syncRow{
			OperationID: r.operationID, Tenant: r.tenant, VendorTenant: data.Tenant, MailboxType: data.MailboxType,
			Seen: int64(data.Seen), Duplicates: int64(data.Duplicates), Pages: int64(data.Pages),
			StartedAt: data.StartedAt, CompletedAt: data.CompletedAt,
			CorrelationID: r.correlationID(), LastSequence: r.Sequence,
		}
	}
	return inventorySyncs.write(ctx, tx, latest(rows, func(r syncRow) string { return r.OperationID }))
}
