package projection

import (
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Commands adds a row to operations for each command that has no event yet. The first event
// overwrites the row as a whole, and a row with events is never touched.
type Commands struct{}

// Name of the projection.
func (Commands) Name() string { return "commands" }

// Stream that it follows.
func (Commands) Stream() string { return topology.StreamCommands }

// Subjects is nil: it follows all of them.
func (Commands) Subjects() []string { return nil }

// commandOperations is what a command alone tells of its operation.
var commandOperations = table[operationRow]{name: "operations", key: "operation_id", onConflict: keep}

// Read makes the rows. A message that names no operation is no fault of this projection: its
// service puts it into DEAD, and the row is in dead_letters.
func (Commands) Read(records []projector.Record) (projector.Write, error) {
	rows := make([]operationRow, 0, len(records))
	seen := make(map[string]bool, len(records))
	for _, record := range records {
		row, ok := commandRow(record)
		if !ok || seen[row.OperationID] {
			continue
		}
		seen[row.OperationID] = true
		rows = append(rows, row)
	}
	return commandOperations.write(sortByOperation(rows)), nil
}

// commandRow gives the row of a command, also of one whose envelope or data has faults: its service
// answers that one with a result. ok is false where no result can follow.
func commandRow(record projector.Record) (row operationRow, ok bool) {
	address, ok := topology.ParseCommandSubject(record.Subject)
	if !ok || address.Check() != nil {
		return operationRow{}, false
	}
	command, err := event.ReadCommand(record.Header, record.Data)
	if err != nil {
		return operationRow{}, false
	}
	e := command.Event
	row = newOperationRow(e, address.Tenant, string(address.Domain), event.OperationOf(address.Tenant, e))
	row.CommandSource, row.CommandID, row.CommandType = text(e.Source()), text(e.ID()), text(e.Type())
	row.Key, row.Fingerprint = text(address.Key), command.Fingerprint()
	row.State = string(event.StateReceived)
	row.ReceivedAt, row.UpdatedAt = record.StoredAt, record.StoredAt
	return row, true
}

// sortByOperation sorts rows: two projections write to operations, and in the same order they cannot
// wait for each other in a circle.
func sortByOperation(rows []operationRow) []operationRow {
	slices.SortFunc(rows, func(a, b operationRow) int { return strings.Compare(a.OperationID, b.OperationID) })
	return rows
}
