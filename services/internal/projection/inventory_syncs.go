package projection

import (
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// InventorySyncs keeps inventory_syncs: the completed syncs of inventories.
type InventorySyncs struct{}

// Name of the projection.
func (InventorySyncs) Name() string { return "inventory_syncs" }

// Stream that it follows.
func (InventorySyncs) Stream() string { return topology.StreamEvents }

// Subjects of operations on inventories.
func (InventorySyncs) Subjects() []string { return []string{eventSubjects(event.DomainInventory)} }

type syncRow struct {
	OperationID   string    `db:"operation_id,indexed"`
	Tenant        string    `db:"tenant"`
	VendorTenant  string    `db:"vendor_tenant"`
	MailboxType   string    `db:"mailbox_type"`
	Seen          int64     `db:"seen"`
	New           int64     `db:"new"`
	Changed       int64     `db:"changed"`
	Returned      int64     `db:"returned"`
	Unchanged     int64     `db:"unchanged"`
	Known         int64     `db:"known"`
	Absent        int64     `db:"absent"`
	Missing       int64     `db:"missing"`
	Suspect       bool      `db:"suspect"`
	Duplicates    int64     `db:"duplicates"`
	Unidentified  int64     `db:"unidentified"`
	Truncated     int64     `db:"truncated"`
	Unpublished   int64     `db:"unpublished"`
	Pages         int64     `db:"pages"`
	StartedAt     time.Time `db:"started_at"`
	CompletedAt   time.Time `db:"completed_at"`
	CorrelationID string    `db:"correlation_id"`
	LastSequence  int64     `db:"last_sequence"`
}

var inventorySyncs = table[syncRow]{name: "inventory_syncs", key: "operation_id"}

// Read makes the rows.
func (InventorySyncs) Read(records []projector.Record) (projector.Write, error) {
	events, err := results(records, event.TypeSyncCompleted)
	if err != nil {
		return projector.Write{}, err
	}
	rows := make([]syncRow, len(events))
	for i, r := range events {
		var data event.SyncCompletedData
		if err := r.into(&data); err != nil {
			return projector.Write{}, err
		}
		rows[i] = syncRow{
			OperationID: r.operationID, Tenant: r.tenant, VendorTenant: data.Tenant, MailboxType: data.MailboxType,
			Seen: int64(data.Seen), New: int64(data.New), Changed: int64(data.Changed), Returned: int64(data.Returned), Unchanged: int64(data.Unchanged),
			Known: int64(data.Known), Absent: int64(data.Absent), Missing: int64(data.Missing), Suspect: data.Suspect,
			Duplicates: int64(data.Duplicates), Unidentified: int64(data.Unidentified),
			Truncated: int64(data.Truncated), Unpublished: int64(data.Unpublished), Pages: int64(data.Pages),
			StartedAt: data.StartedAt, CompletedAt: data.CompletedAt,
			CorrelationID: r.correlationID(), LastSequence: r.Sequence,
		}
	}
	return inventorySyncs.write(lastPerKey(rows, func(r *syncRow) string { return r.OperationID })), nil
}
