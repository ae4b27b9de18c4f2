package projection

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Audit keeps audit: what people did to the system.
type Audit struct{}

// Name of the projection.
func (Audit) Name() string { return "audit" }

// Stream that it follows.
func (Audit) Stream() string { return topology.StreamAudit }

// Subjects is nil: it follows all of them.
func (Audit) Subjects() []string { return nil }

// auditKey names an act: of a user, since another may publish under the same id.
type auditKey struct{ user, act string }

// auditRow is a row of audit.
type auditRow struct {
	NATSUser string `db:"nats_user,indexed"`
	ActID    string `db:"act_id,indexed"`
	auditOrigin
	auditIntent
	auditResult
	LastSequence int64 `db:"last_sequence"`
}

// auditOrigin is the part of a row that its first event gives.
type auditOrigin struct {
	Action   string `db:"action"`
	AuthType string `db:"auth_type"`
	AuthID   string `db:"auth_id"`
	Source   string `db:"source"`
}

// auditIntent is the part of a row that its first intent gives.
type auditIntent struct {
	ConnectedAs string          `db:"connected_as"`
	Reason      string          `db:"reason"`
	Options     []string        `db:"options"`
	Tenants     []string        `db:"tenants"`
	Operations  []string        `db:"operations"`
	DeadLetters json.RawMessage `db:"dead_letters"`
	Targets     []string        `db:"targets"`
	Intended    *int64          `db:"intended"`
	IntendedAt  *time.Time      `db:"intended_at"`
}

// noIntent is that of an act whose intent is not known.
var noIntent = auditIntent{
	Options: []string{}, Tenants: []string{}, Operations: []string{}, DeadLetters: jsonList[uint64](nil), Targets: []string{},
}

// auditResult is the part of a row that its first result gives.
type auditResult struct {
	Result      string     `db:"result"`
	Done        *int64     `db:"done"`
	CompletedAt *time.Time `db:"completed_at"`
}

// unknownResult is that of an act which is under way, or whose program was killed.
var unknownResult = auditResult{Result: "unknown"}

var auditTable = table[auditRow]{name: "audit", key: "nats_user, act_id", merge: auditMerge()}

// auditMerge keeps what the row of an act has: merging in SQL is what [auditRow.merge] does.
func auditMerge() map[string]string {
	merge := map[string]string{}
	for _, column := range []string{"action", "auth_type", "auth_id", "source"} {
		merge[column] = "old." + column
	}
	firstBy := func(known string, columns ...string) {
		for _, column := range columns {
			merge[column] = "CASE WHEN old." + known + " IS NULL THEN excluded." + column + " ELSE old." + column + " END"
		}
	}
	firstBy("intended_at", "connected_as", "reason", "options", "tenants", "operations", "dead_letters", "targets", "intended", "intended_at")
	firstBy("completed_at", "result", "done", "completed_at")
	return merge
}

// merge adds a later event of the same act.
func (r *auditRow) merge(later auditRow) {
	if r.IntendedAt == nil {
		r.auditIntent = later.auditIntent
	}
	if r.CompletedAt == nil {
		r.auditResult = later.auditResult
	}
	r.LastSequence = later.LastSequence
}

// Read makes the rows.
func (Audit) Read(records []projector.Record) (projector.Write, error) {
	var rows []auditRow
	at := map[auditKey]int{} // index in rows
	for _, record := range records {
		row, err := auditRowOf(record)
		if err != nil {
			return projector.Write{}, err
		}
		key := auditKey{row.NATSUser, row.ActID}
		if i, again := at[key]; again {
			rows[i].merge(row)
			continue
		}
		at[key] = len(rows)
		rows = append(rows, row)
	}
	return auditTable.write(rows), nil
}

// Prune deletes the rows of acts that are older than the stream keeps: by its age alone, since
// nobody can delete messages of it.
func (Audit) Prune(ctx context.Context, tx pgx.Tx, first int64, _ []int64) error {
	_, err := tx.Exec(ctx, "DELETE FROM audit WHERE last_sequence < $1", first)
	return err
}

// auditRowOf is the row that one event alone gives.
func auditRowOf(record projector.Record) (auditRow, error) {
	user, act, ok := topology.ParseAuditSubject(record.Subject)
	if !ok {
		return auditRow{}, projector.Unprojectablef("the subject is not one of an act")
	}
	e, err := decode(record)
	if err != nil {
		return auditRow{}, err
	}
	row := auditRow{NATSUser: text(user), ActID: text(act), auditIntent: noIntent, auditResult: unknownResult, LastSequence: record.Sequence}
	switch e.Type() {
	case event.TypeAuditIntended:
		err = row.intend(e, record.StoredAt)
	case event.TypeAuditCompleted:
		err = row.complete(e, record.StoredAt)
	default:
		err = projector.Unprojectablef("type %s is not one of an act that this version knows", text(e.Type()))
	}
	row.AuthType, row.AuthID, row.Source = attribute(e, event.AttrAuthType), attribute(e, event.AttrAuthID), text(e.Source())
	return row, err
}

func (r *auditRow) intend(e event.Event, at time.Time) error {
	var data event.AuditIntendedData
	if err := into(e, &data); err != nil {
		return err
	}
	count := int64(data.Count)
	r.Action = data.Action
	r.auditIntent = auditIntent{
		ConnectedAs: data.ConnectedAs, Reason: data.Reason, Options: list(data.Options), Tenants: list(data.Tenants), Operations: list(data.Operations),
		DeadLetters: jsonList(data.DeadLetters), Targets: list(data.Targets), Intended: &count, IntendedAt: &at,
	}
	return nil
}

func (r *auditRow) complete(e event.Event, at time.Time) error {
	var data event.AuditCompletedData
	if err := into(e, &data); err != nil {
		return err
	}
	done := int64(data.Done)
	r.Action = data.Action
	r.auditResult = auditResult{Result: data.Result, Done: &done, CompletedAt: &at}
	return nil
}

// list is a list that Postgres takes for an empty one where it is absent.
func list(items []string) []string {
	if items == nil {
		return []string{}
	}
	return items
}
