package projection

import (
	"context"
	"maps"
	"math/bits"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// outcomeKey is what outcomes are grouped by in both tables.
type outcomeKey struct {
	Hour        time.Time `db:"hour"`
	Tenant      string    `db:"tenant"`
	Domain      string    `db:"domain"`
	CommandType string    `db:"command_type"`
	State       string    `db:"state"`
}

type outcomeReasonKey struct {
	outcomeKey
	FailureVendor string `db:"failure_vendor"`
	FailureKind   string `db:"failure_kind"`
	FailureCode   string `db:"failure_code,indexed"`
}

type outcomeDurationKey struct {
	outcomeKey
	Milliseconds int64 `db:"duration_ms"`
}

// outcomeRow is a row of operation_outcomes.
type outcomeRow struct {
	outcomeReasonKey
	Operations       int64     `db:"operations"`
	OldestReceivedAt time.Time `db:"oldest_received_at"`
	FirstAt          time.Time `db:"first_at"`
	LastAt           time.Time `db:"last_at"`
	LastSequence     int64     `db:"last_sequence"`
}

// durationRow is a row of operation_durations.
type durationRow struct {
	outcomeDurationKey
	Operations   int64 `db:"operations"`
	LastSequence int64 `db:"last_sequence"`
}

// tenantRow is a row of operation_tenants.
type tenantRow struct {
	Tenant       string `db:"tenant,indexed"`
	LastSequence int64  `db:"last_sequence"`
}

const addOperations = "old.operations + excluded.operations"

var (
	operationOutcomes = table[outcomeRow]{
		name: "operation_outcomes", key: "hour, tenant, domain, command_type, state, failure_vendor, failure_kind, failure_code",
		merge: map[string]string{
			"operations": addOperations, "oldest_received_at": "least(old.oldest_received_at, excluded.oldest_received_at)", "first_at": "old.first_at",
		},
	}
	operationTenants   = table[tenantRow]{name: "operation_tenants", key: "tenant", onConflict: keep}
	operationDurations = table[durationRow]{
		name: "operation_durations", key: "hour, tenant, domain, command_type, state, duration_ms",
		merge: map[string]string{"operations": addOperations},
	}
)

// countOutcomes counts the rows with an outcome, in the order of the stream. An operation has one
// outcome, so each is counted once. Which tenants are configured depends on all earlier outcomes,
// so it is read when the rows are written.
func countOutcomes(ended []operationRow) (w projector.Write) {
	if len(ended) == 0 {
		return w
	}
	var known map[string]bool
	w.Lookup = func(ctx context.Context, tx *projector.Tx) error {
		known = map[string]bool{}
		return queryTenants(ctx, tx, ended, known)
	}
	w.Apply = func(ctx context.Context, tx *projector.Tx) error {
		counted := outcomes{known: known, reasons: map[outcomeReasonKey]outcomeRow{}, durations: map[outcomeDurationKey]durationRow{}}
		for i := range ended {
			counted.count(&ended[i])
		}
		return counted.write().Apply(ctx, tx)
	}
	return w
}

// outcomes counts the outcomes of a batch.
type outcomes struct {
	known     map[string]bool // tenants that are configured
	proved    []tenantRow     // those that this batch proves to be configured
	reasons   map[outcomeReasonKey]outcomeRow
	durations map[outcomeDurationKey]durationRow
}

// queryTenants adds to known the rows' tenants that earlier batches proved to be configured.
func queryTenants(ctx context.Context, tx *projector.Tx, ended []operationRow, known map[string]bool) error {
	distinct := map[string]bool{}
	for i := range ended {
		distinct[indexable(ended[i].Tenant)] = true
	}
	names := slices.Collect(maps.Keys(distinct))
	var name string
	read := func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&name}, func() error {
			known[name] = true
			return nil
		})
		return err
	}
	return tx.Query(ctx, "SELECT tenant FROM operation_tenants WHERE tenant = ANY ($1::text[])", read, names)
}

// tenant returns the tenant that an outcome is counted under: "" until an outcome proves that the
// tenant is configured. Otherwise publishers could create counters without bound by inventing
// tenants.
func (o *outcomes) tenant(row *operationRow) string {
	name := indexable(row.Tenant)
	if o.known[name] || name == "" {
		return name
	}
	if !provesTenant(row) {
		return ""
	}
	o.known[name] = true
	o.proved = append(o.proved, tenantRow{name, row.LastSequence})
	return name
}

// provesTenant reports whether only a configured tenant can have the outcome: a success, or a
// vendor's failure. The success of a cancellation proves nothing, since no vendor is called.
func provesTenant(row *operationRow) bool {
	succeeded := row.State == string(event.StateSucceeded)
	return row.FailureVendor != "" || succeeded && row.CommandType != event.TypeOperationCancel
}

// knownCommandType returns a command's type; "" for a type that this version does not know.
func knownCommandType(commandType string) string {
	if slices.Contains(event.CommandTypes(), commandType) {
		return commandType
	}
	return ""
}

// count counts a row. It must be called in the order of the stream.
func (o *outcomes) count(row *operationRow) {
	end := *row.FinishedAt
	e := outcomeKey{end.Truncate(time.Hour), o.tenant(row), row.Domain, knownCommandType(row.CommandType), row.State}
	reason := outcomeReasonKey{e, row.FailureVendor, row.FailureKind, row.FailureCode}
	if row.State == string(event.StateRejected) {
		reason.FailureKind = "invalid"
	}
	counted, again := o.reasons[reason]
	if !again {
		counted = outcomeRow{outcomeReasonKey: reason, OldestReceivedAt: row.ReceivedAt, FirstAt: end}
	}
	if row.ReceivedAt.Before(counted.OldestReceivedAt) {
		counted.OldestReceivedAt = row.ReceivedAt
	}
	counted.Operations++
	counted.LastAt = end
	counted.LastSequence = row.LastSequence
	o.reasons[reason] = counted

	took := outcomeDurationKey{e, roundDuration(end.Sub(row.ReceivedAt).Milliseconds())}
	o.durations[took] = durationRow{took, o.durations[took].Operations + 1, row.LastSequence}
}

func (o *outcomes) write() projector.Write {
	reasons := make([]outcomeRow, 0, len(o.reasons))
	durations := make([]durationRow, 0, len(o.durations))
	for _, r := range o.reasons {
		reasons = append(reasons, r)
	}
	for _, d := range o.durations {
		durations = append(durations, d)
	}
	return projector.InOrder(
		operationTenants.write(o.proved), operationOutcomes.write(reasons), operationDurations.write(durations),
	)
}

// durationDigits is the number of binary digits that a duration is rounded to. With three digits
// the error is at most an eighth.
const durationDigits = 3

// roundDuration rounds milliseconds to durationDigits, so that few different durations are counted.
// It uses integers only, so that every machine rounds alike.
func roundDuration(ms int64) int64 {
	ms = max(ms, 0)
	surplus := bits.Len64(uint64(ms)) - durationDigits
	if surplus <= 0 {
		return ms
	}
	half := int64(1) << (surplus - 1)
	return (ms + half) >> surplus << surplus
}
