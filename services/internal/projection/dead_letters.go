package projection

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// DeadLetters keeps dead_letters: the messages that are in the stream DEAD.
type DeadLetters struct{}

// Name of the projection.
func (DeadLetters) Name() string { return "dead_letters" }

// Stream that it follows.
func (DeadLetters) Stream() string { return topology.StreamDead }

// Subjects is nil: it follows all of them.
func (DeadLetters) Subjects() []string { return nil }

type deadRow struct {
	Sequence       int64           `db:"sequence"`
	Tenant         string          `db:"tenant"`
	Domain         string          `db:"domain"`
	OperationID    string          `db:"operation_id,indexed"`
	Reason         string          `db:"reason"`
	Detail         string          `db:"detail"`
	OriginStream   string          `db:"origin_stream"`
	OriginSequence *int64          `db:"origin_sequence"`
	OriginSubject  string          `db:"origin_subject"`
	Consumer       string          `db:"consumer"`
	CommandSource  string          `db:"command_source"`
	CommandID      string          `db:"command_id"`
	Type           string          `db:"type"`
	CorrelationID  string          `db:"correlation_id"`
	TraceParent    string          `db:"trace_parent"`
	GivenUpAt      *time.Time      `db:"given_up_at"`
	Size           *int64          `db:"size"`
	SHA256         string          `db:"sha256"`
	Excerpt        json.RawMessage `db:"excerpt"`
	Shape          json.RawMessage `db:"shape"`
	DeadAt         time.Time       `db:"dead_at"`
}

var deadLetters = table[deadRow]{name: "dead_letters", key: "sequence", onConflict: keep}

// Read makes the rows. Every message has a row, also one that cannot be decoded: otherwise nobody
// would see it.
func (DeadLetters) Read(records []projector.Record) (projector.Write, error) {
	rows := make([]deadRow, len(records))
	for i, record := range records {
		rows[i] = deadRowOf(record)
	}
	return deadLetters.write(rows), nil
}

// Prune deletes the rows of dead letters that were replayed or discarded.
func (DeadLetters) Prune(ctx context.Context, tx pgx.Tx, first int64, deleted []int64) error {
	_, err := tx.Exec(ctx, "DELETE FROM dead_letters WHERE sequence < $1 OR sequence = ANY ($2)", first, deleted)
	return err
}

func deadRowOf(record projector.Record) deadRow {
	row := deadRow{Sequence: record.Sequence, Reason: operation.Unreadable, DeadAt: record.StoredAt}
	// mailwright.dead.<tenant or ->.<domain>.<operationid or ->
	if tokens := strings.Split(record.Subject, "."); len(tokens) == 5 {
		row.Tenant = tokenText(tokens[2])
		row.Domain = text(tokens[3])
		row.OperationID = tokenText(tokens[4])
	}
	data, _ := cleanJSON(record.Data)
	letter, err := event.ReadDeadLetter(data)
	if letter.Reason != "" {
		row.Reason = letter.Reason
	}
	if letter.OperationID != "" {
		row.OperationID = letter.OperationID
	}
	row.Detail = letter.Detail
	row.Consumer = letter.Consumer
	if err != nil {
		row.Detail = err.Error()
	}
	row.OriginStream = letter.Stream
	row.OriginSubject = letter.Subject
	row.OriginSequence = positive(int64(letter.Sequence))
	row.CommandSource = letter.Source
	row.CommandID = letter.ID
	row.Type = letter.Type
	row.CorrelationID = letter.CorrelationID
	row.TraceParent = letter.TraceParent
	row.Size = positive(int64(letter.Size))
	row.SHA256 = letter.SHA256
	row.Excerpt = letter.Excerpt
	row.Shape = shape(letter.Shape)
	if !letter.Time.IsZero() {
		row.GivenUpAt = &letter.Time
	}
	return row
}

// shape encodes the shape of a dead letter; NULL if it has none.
func shape(s *event.Shape) json.RawMessage {
	if s == nil {
		return nil
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil // cannot happen: a shape has only texts and a number
	}
	return raw
}

// tokenText returns a token of a dead letter's subject; "" for the token "-", which stands for an
// unknown value.
func tokenText(token string) string {
	if token == "-" {
		return ""
	}
	return text(token)
}

// positive returns NULL for 0, which stands for an absent number.
func positive(n int64) *int64 {
	if n <= 0 {
		return nil
	}
	return &n
}
