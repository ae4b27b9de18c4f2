package projection

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Commands adds a row to operations for each command that has no event yet. The first event
// overwrites the row as a whole, and a row with events is never touched.
type Commands struct{}

// Name of the projection.
func (Commands) Name() string { return "commands" }

// Stream that it follows.
func (Commands) Stream() string { return bus.Commands }

// Subjects is nil: it follows all of them.
func (Commands) Subjects() []string { return nil }

// received is what a command alone tells of its operation.
var received = table[operationRow]{name: "operations", key: "operation_id", existing: keep}

// Read makes the rows. A command that can not be read is no fault of this projection: its service puts
// it into DEAD, and the row is in dead_letters.
func (Commands) Read(records []projector.Record) (projector.Write, error) {
	rows := make([]operationRow, 0, len(records))
	seen := make(map[string]bool, len(records))
	for _, record := range records {
		address, addressed := bus.ParseCommandSubject(record.Subject)
		e, err := decode(record)
		if err != nil || !addressed || (len(e.Data()) > 0 && !json.Valid(e.Data())) {
			continue
		}
		id := event.OperationOf(address.Tenant, e)
		if seen[id] {
			continue
		}
		seen[id] = true
		row := newOperationRow(e, id, string(address.Domain))
		row.CommandSource, row.CommandID, row.CommandType = text(e.Source()), text(e.ID()), text(e.Type())
		row.Tenant = text(address.Tenant)
		row.Key, row.Fingerprint = text(address.Key), event.Fingerprint(e)
		row.State = string(event.Received)
		row.ReceivedAt, row.UpdatedAt = record.StoredAt, record.StoredAt
		rows = append(rows, row)
	}
	return received.write(byOperation(rows)), nil
}

// byOperation sorts rows: two projections write to operations, and in the same order they can not
// wait for each other in a circle.
func byOperation(rows []operationRow) []operationRow {
	slices.SortFunc(rows, func(a, b operationRow) int { return strings.Compare(a.OperationID, b.OperationID) })
	return rows
}
