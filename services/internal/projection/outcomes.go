package projection

import (
	"math/bits"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// ending is what outcomes are counted by.
type ending struct {
	Hour        time.Time `db:"hour"`
	Tenant      string    `db:"tenant"`
	Domain      string    `db:"domain"`
	CommandType string    `db:"command_type"`
	State       string    `db:"state"`
}

type reasonedEnding struct {
	ending
	FailureVendor string `db:"failure_vendor"`
	FailureKind   string `db:"failure_kind"`
	FailureCode   string `db:"failure_code"`
}

type timedEnding struct {
	ending
	Milliseconds int64 `db:"duration_ms"`
}

// outcomeRow is a row of operation_outcomes.
type outcomeRow struct {
	reasonedEnding
	Operations       int64     `db:"operations"`
	OldestReceivedAt time.Time `db:"oldest_received_at"`
	FirstAt          time.Time `db:"first_at"`
	LastAt           time.Time `db:"last_at"`
	LastSequence     int64     `db:"last_sequence"`
}

// durationRow is a row of operation_durations.
type durationRow struct {
	timedEnding
	Operations   int64 `db:"operations"`
	LastSequence int64 `db:"last_sequence"`
}

const added = "old.operations + excluded.operations"

var (
	operationOutcomes = table[outcomeRow]{
		name: "operation_outcomes", key: "hour, tenant, domain, command_type, state, failure_vendor, failure_kind, failure_code",
		merge: map[string]string{
			"operations": added, "oldest_received_at": "least(old.oldest_received_at, excluded.oldest_received_at)", "first_at": "old.first_at",
		},
	}
	operationDurations = table[durationRow]{
		name: "operation_durations", key: "hour, tenant, domain, command_type, state, duration_ms",
		merge: map[string]string{"operations": added},
	}
)

// outcomes counts the outcomes of a batch. An operation has one, so each is counted once.
type outcomes struct {
	reasons   map[reasonedEnding]outcomeRow
	durations map[timedEnding]durationRow
}

func newOutcomes() outcomes {
	return outcomes{map[reasonedEnding]outcomeRow{}, map[timedEnding]durationRow{}}
}

// count takes in the row that an event leaves, in the order of the stream.
func (o outcomes) count(row *operationRow) {
	if row.FinishedAt == nil {
		return
	}
	end := *row.FinishedAt
	e := ending{end.Truncate(time.Hour), row.Tenant, row.Domain, row.CommandType, row.State}
	reason := reasonedEnding{e, row.FailureVendor, row.FailureKind, row.FailureCode}
	if row.State == string(event.Rejected) {
		reason.FailureKind = "invalid"
	}
	counted, again := o.reasons[reason]
	if !again {
		counted = outcomeRow{reasonedEnding: reason, OldestReceivedAt: row.ReceivedAt, FirstAt: end}
	}
	if row.ReceivedAt.Before(counted.OldestReceivedAt) {
		counted.OldestReceivedAt = row.ReceivedAt
	}
	counted.Operations, counted.LastAt, counted.LastSequence = counted.Operations+1, end, row.LastSequence
	o.reasons[reason] = counted

	took := timedEnding{e, rounded(end.Sub(row.ReceivedAt).Milliseconds())}
	o.durations[took] = durationRow{took, o.durations[took].Operations + 1, row.LastSequence}
}

func (o outcomes) write() projector.Write {
	reasons, durations := make([]outcomeRow, 0, len(o.reasons)), make([]durationRow, 0, len(o.durations))
	for _, r := range o.reasons {
		reasons = append(reasons, r)
	}
	for _, d := range o.durations {
		durations = append(durations, d)
	}
	return projector.InOrder(operationOutcomes.write(reasons), operationDurations.write(durations))
}

// digits of a duration that a histogram keeps, in binary: what is rounded to three of them is off by at most an eighth.
const digits = 3

// rounded gives a duration of few different ones that is near. It counts in integers, so that every machine rounds alike.
func rounded(ms int64) int64 {
	ms = max(ms, 0)
	surplus := bits.Len64(uint64(ms)) - digits
	if surplus <= 0 {
		return ms
	}
	half := int64(1) << (surplus - 1)
	return (ms + half) >> surplus << surplus
}
