package projection

import (
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Commands adds a row to operations for each command that has no event yet. The first event of the
// operation replaces the row, and a row with events is never changed.
type Commands struct{}

// Name of the projection.
func (Commands) Name() string { return "commands" }

// Stream that it follows.
func (Commands) Stream() string { return topology.StreamCommands }

// Subjects is nil: it follows all of them.
func (Commands) Subjects() []string { return nil }

// commandOperations inserts the rows that a command alone gives.
var commandOperations = table[operationRow]{name: "operations", key: "operation_id", onConflict: keep}

// Read makes the rows. It ignores a message from which no operation id can be read: its service
// puts the message into DEAD, and dead_letters has the row.
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

// commandRow returns the row of a command, also if its envelope or data are invalid: its service
// rejects that one. ok is false if no result can follow.
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
	row.CommandSource = text(e.Source())
	row.CommandID = text(e.ID())
	row.CommandType = text(e.Type())
	row.Key = text(address.Key)
	row.Fingerprint = command.Fingerprint()
	row.State = string(event.StateReceived)
	row.ReceivedAt = record.StoredAt
	row.UpdatedAt = record.StoredAt
	return row, true
}

// sortByOperation sorts rows by operation. Two projections write to operations; if both lock rows
// in the same order, they cannot deadlock.
func sortByOperation(rows []operationRow) []operationRow {
	slices.SortFunc(rows, func(a, b operationRow) int { return strings.Compare(a.OperationID, b.OperationID) })
	return rows
}
