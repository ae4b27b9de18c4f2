package projection

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Operations keeps operations, one row for each command; operation_events, their history; and
// operation_outcomes and operation_durations, which count the outcomes.
type Operations struct{ History Retention }

// Name of the projection.
func (Operations) Name() string { return "operations" }

// Stream that it follows.
func (Operations) Stream() string { return topology.StreamEvents }

// Subjects is nil: it follows all of them.
func (Operations) Subjects() []string { return nil }

// operationRow is a row of operations. Every column but first_event_at follows from the last event
// alone.
type operationRow struct {
	OperationID   string          `db:"operation_id,indexed"`
	CommandSource string          `db:"command_source"`
	CommandID     string          `db:"command_id"`
	CommandType   string          `db:"command_type"`
	Domain        string          `db:"domain"`
	Key           string          `db:"key"`
	Tenant        string          `db:"tenant"`
	CorrelationID string          `db:"correlation_id"`
	Subject       string          `db:"subject"`
	Fingerprint   string          `db:"fingerprint"`
	State         string          `db:"state"`
	Attempts      int64           `db:"attempts"`
	FailureKind   string          `db:"failure_kind"`
	FailureVendor string          `db:"failure_vendor"`
	FailureCode   string          `db:"failure_code"`
	FailureText   string          `db:"failure_text"`
	FailingSince  *time.Time      `db:"failing_since"`
	Faults        json.RawMessage `db:"faults"`
	Warnings      json.RawMessage `db:"warnings"`
	ResultType    string          `db:"result_type"`
	Result        json.RawMessage `db:"result"`
	ReceivedAt    time.Time       `db:"received_at"`
	FirstEventAt  *time.Time      `db:"first_event_at"`
	UpdatedAt     time.Time       `db:"updated_at"`
	FinishedAt    *time.Time      `db:"finished_at"`
	NextAttemptAt *time.Time      `db:"next_attempt_at"`
	WaitingReason string          `db:"waiting_reason"`
	AuthType      string          `db:"auth_type"`
	AuthID        string          `db:"auth_id"`
	AuthClaims    string          `db:"auth_claims"`
	LastSequence  int64           `db:"last_sequence"`
}

// eventRow is a row of operation_events.
type eventRow struct {
	StoredAt      time.Time       `db:"stored_at"`
	Sequence      int64           `db:"sequence"`
	OperationID   string          `db:"operation_id,indexed"`
	Domain        string          `db:"domain"`
	Type          string          `db:"type"`
	State         string          `db:"state"`
	Attempt       int64           `db:"attempt"`
	FailureKind   string          `db:"failure_kind"`
	FailureVendor string          `db:"failure_vendor"`
	FailureCode   string          `db:"failure_code"`
	FailureText   string          `db:"failure_text"`
	EventID       string          `db:"event_id"`
	Source        string          `db:"source"`
	OccurredAt    *time.Time      `db:"occurred_at"`
	Data          json.RawMessage `db:"data"`
}

var (
	operations = table[operationRow]{
		name: "operations", key: "operation_id",
		merge: map[string]string{"first_event_at": "coalesce(old.first_event_at, excluded.first_event_at)"},
	}
	operationEvents = table[eventRow]{
		name: historyTable, key: "stored_at, sequence", onConflict: keep,
		condition: "stored_at >= coalesce((SELECT before FROM retention WHERE table_name = '" + historyTable + "'), '-infinity')",
	}
)

// Read makes the rows: the history, the state after each operation's last event, and the counts.
func (Operations) Read(records []projector.Record) (projector.Write, error) {
	rows := make([]operationRow, 0, len(records))
	at := make(map[string]int, len(records)) // index in rows, by operation
	history := make([]eventRow, 0, len(records))
	var ended []operationRow
	for _, record := range records {
		r, err := readResult(record)
		if err != nil {
			return projector.Write{}, err
		}
		data, err := r.outcome()
		if err != nil {
			return projector.Write{}, err
		}
		row, err := r.operation(&data)
		if err != nil {
			return projector.Write{}, err
		}
		if i, again := at[r.operationID]; again {
			row.FirstEventAt = rows[i].FirstEventAt
			rows[i] = row
		} else {
			at[r.operationID] = len(rows)
			rows = append(rows, row)
		}
		if row.FinishedAt != nil {
			ended = append(ended, row)
		}
		history = append(history, r.history(&row, &data))
	}
	return projector.InOrder(
		operations.write(sortByOperation(rows)), ensureMonths(history), operationEvents.write(history), countOutcomes(ended),
	), nil
}

// newOperationRow returns a row with the columns that commands and results have in the same
// attributes.
func newOperationRow(e event.Event, tenant, domain, id string) operationRow {
	return operationRow{
		OperationID: id, Tenant: text(tenant), Domain: text(domain),
		CorrelationID: attribute(e, event.AttrCorrelationID), Subject: text(e.Subject()),
		Faults: jsonList[event.Fault](nil), Warnings: jsonList[event.Warning](nil),
		AuthType: attribute(e, event.AttrAuthType), AuthID: attribute(e, event.AttrAuthID), AuthClaims: attribute(e, event.AttrAuthClaims),
	}
}

// operation returns the row as this event alone gives it.
func (r *result) operation(data *outcome) (operationRow, error) {
	state, ok := event.StateOf(r.event)
	if !ok {
		return operationRow{}, projector.Unprojectablef("type %s is not one of a result that this version knows", text(r.event.Type()))
	}
	row := newOperationRow(r.event, r.tenant, r.domain, r.operationID)
	row.CommandSource = attribute(r.event, event.AttrCommandSource)
	row.CommandID = attribute(r.event, event.AttrCommandID)
	row.CommandType = data.Operation.CommandType
	row.Key = data.Operation.Key
	row.Fingerprint = data.Operation.Fingerprint
	row.State = string(state)
	row.Attempts = int64(data.Operation.Attempt)
	row.FailureKind = data.Failure.Kind
	row.FailureVendor = data.Failure.Vendor
	row.FailureCode = data.Failure.Code
	row.FailureText = data.Failure.Text
	row.FailingSince = data.Since
	row.NextAttemptAt = data.NextAttemptAt
	row.WaitingReason = data.Reason
	row.Faults = jsonList(data.Faults)
	row.Warnings = jsonList(slices.Concat(data.Operation.Warnings, data.Warnings))
	row.ReceivedAt = data.Operation.ReceivedAt
	row.FirstEventAt = &r.StoredAt
	row.UpdatedAt = r.StoredAt
	row.LastSequence = r.Sequence
	if state.Terminal() {
		row.FinishedAt = &r.StoredAt
	}
	if state == event.StateSucceeded {
		row.ResultType = r.event.Type()
		row.Result = data.result.raw()
	}
	return row, nil
}

// history returns the row of operation_events.
func (r *result) history(row *operationRow, data *outcome) eventRow {
	entry := eventRow{
		StoredAt: r.StoredAt, Sequence: r.Sequence, OperationID: r.operationID, Domain: row.Domain,
		Type: text(r.event.Type()), State: row.State, Attempt: row.Attempts,
		FailureKind: row.FailureKind, FailureVendor: row.FailureVendor, FailureCode: row.FailureCode, FailureText: row.FailureText,
		EventID: text(r.event.ID()), Source: text(r.event.Source()), Data: data.history.raw(),
	}
	if t := r.event.Time(); !t.IsZero() {
		entry.OccurredAt = &t
	}
	return entry
}
