package projection

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Commands adds a row to operations for each command that has no event yet. The first event of the
// operation replaces the row, and a row with events is never changed. A command whose row an event
// has written already takes a look-up alone.
type Commands struct{}

// Name of the projection.
func (Commands) Name() string { return "commands" }

// Stream that it follows.
func (Commands) Stream() string { return topology.StreamCommands }

// Subjects is nil: it follows all of them.
func (Commands) Subjects() []string { return nil }

// commandOperations inserts the rows that a command alone gives.
var commandOperations = table[operationRow]{name: "operations", key: "operation_id", onConflict: keep}

// Delayed says that most rows are overwritten soon.
func (Commands) Delayed() {}

// Read makes the rows. It ignores a message from which no operation id can be read: its service
// puts the message into DEAD, and dead_letters has the row.
func (Commands) Read(records []projector.Record) (w projector.Write, err error) {
	received := receiveAll(records)
	if len(received) == 0 {
		return w, nil
	}
	ids := make([]string, len(received))
	for i, c := range received {
		ids[i] = c.operationID
	}
	var known map[string]bool
	w.Lookup = func(ctx context.Context, tx *projector.Tx) error {
		known = map[string]bool{}
		var id string
		read := func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				known[id] = true
				return nil
			})
			return err
		}
		return tx.Query(ctx, "SELECT operation_id FROM operations WHERE operation_id = ANY ($1::text[])", read, ids)
	}
	w.Apply = func(ctx context.Context, tx *projector.Tx) error {
		rows := newRows(received, known)
		if len(rows) == 0 {
			return nil
		}
		return commandOperations.write(sortByOperation(rows)).Apply(ctx, tx)
	}
	return w, nil
}

// newRows gives the rows of the operations that are not known. The first command of an operation
// that can be read gives the row, however the commands are spread over batches.
func newRows(received []*receivedCommand, known map[string]bool) (rows []operationRow) {
	for _, c := range received {
		if !known[c.operationID] && c.decode() {
			known[c.operationID] = true
			rows = append(rows, c.row())
		}
	}
	return rows
}

// receivedCommand is a command whose operation id is known. Most have a row already, so the rest is
// decoded when it is needed.
type receivedCommand struct {
	projector.Record
	address     topology.Address
	operationID string
	command     event.Command
	decoded     bool
}

// receiveAll reads the commands whose operation is known.
func receiveAll(records []projector.Record) (received []*receivedCommand) {
	for _, record := range records {
		if c, ok := receive(record); ok {
			received = append(received, c)
		}
	}
	return received
}

// receive reads a command, also one whose envelope or data are invalid: its service rejects that
// one. ok is false if no result can follow.
func receive(record projector.Record) (c *receivedCommand, ok bool) {
	address, ok := topology.ParseCommandSubject(record.Subject)
	if !ok || address.Check() != nil {
		return nil, false
	}
	c = &receivedCommand{Record: record, address: address}
	if source, id, plain := plainIdentity(record.Header); plain {
		c.operationID = event.OperationID(address.Tenant, source, id)
		return c, true
	}
	return c, c.decode()
}

// decode decodes the whole command. The result is false if no operation id can be read.
func (c *receivedCommand) decode() bool {
	if c.decoded {
		return true
	}
	var err error
	c.command, err = event.ReadCommand(c.Header, c.Data)
	if err != nil {
		return false
	}
	c.decoded = true
	c.operationID = event.OperationOf(c.address.Tenant, c.command.Event)
	return true
}

// plainIdentity reads source and id from the headers of a command in binary mode. plain is false if
// they may mean something else than they say: where a header is given twice or in another case of
// letters, where a value is encoded, in structured mode, and of a plan.
func plainIdentity(h nats.Header) (source, id string, plain bool) {
	for name, values := range h {
		lower := strings.ToLower(name)
		if strings.Contains(lower, "content") && (len(values) != 1 || strings.Contains(strings.ToLower(values[0]), "cloudevents")) {
			return "", "", false
		}
		if strings.HasPrefix(lower, "ce-") && (name != lower || len(values) != 1 || lower == "ce-"+event.AttrDryRun) {
			return "", "", false
		}
	}
	source, id = h.Get("ce-source"), h.Get("ce-id")
	return source, id, isPlain(source) && isPlain(id) && isPlain(h.Get("ce-specversion"))
}

// isPlain reports whether a value is a text of visible ASCII characters that needs no decoding.
func isPlain(value string) bool {
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' || c == '%' || c == '"' || c == '\\' {
			return false
		}
	}
	return value != ""
}

// row is the row that the command alone gives.
func (c *receivedCommand) row() operationRow {
	e := c.command.Event
	row := newOperationRow(e, c.address.Tenant, string(c.address.Domain), c.operationID)
	row.CommandSource = text(e.Source())
	row.CommandID = text(e.ID())
	row.CommandType = text(e.Type())
	row.Key = text(c.address.Key)
	row.Fingerprint = c.command.Fingerprint()
	row.State = string(event.StateReceived)
	row.ReceivedAt = c.StoredAt
	row.UpdatedAt = c.StoredAt
	return row
}

// sortByOperation sorts rows by operation. Two projections write to operations; if both lock rows
// in the same order, they cannot deadlock.
func sortByOperation(rows []operationRow) []operationRow {
	slices.SortFunc(rows, func(a, b operationRow) int { return strings.Compare(a.OperationID, b.OperationID) })
	return rows
}
