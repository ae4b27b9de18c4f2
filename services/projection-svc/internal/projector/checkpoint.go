package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
)

// checkpoint is a projection's position: the sequence of the last message that the rows reflect, in the
// stream that was created at incarnation.
type checkpoint struct {
	incarnation time.Time
	sequence    int64
}

// halt says that a projection can not go on without help: going on would corrupt its rows.
type halt struct{ text string }

func (h *halt) Error() string { return h.text }

// position reads the checkpoint, or makes one at the stream's beginning.
func (p *Projector) position(ctx context.Context, conn *pgx.Conn, info *jetstream.StreamInfo) (checkpoint, error) {
	at := checkpoint{incarnation: incarnation(info)}
	_, err := conn.Exec(ctx, `INSERT INTO mailwright.checkpoints (projection, stream, incarnation) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		p.projection.Name(), p.projection.Stream(), at.incarnation)
	if err != nil {
		return at, fmt.Errorf("checkpoint: %w", err)
	}
	err = conn.QueryRow(ctx, `SELECT incarnation, sequence FROM mailwright.checkpoints WHERE projection = $1`, p.projection.Name()).
		Scan(&at.incarnation, &at.sequence)
	if err != nil {
		return at, fmt.Errorf("checkpoint: %w", err)
	}
	return at, at.fits(info)
}

// fits checks that the stream is the one that the rows reflect, and holds all that they reflect.
func (c checkpoint) fits(info *jetstream.StreamInfo) error {
	const remedy = "; restore the stream, or have the projection built again (docs/projections.md)"
	if created := incarnation(info); !created.Equal(c.incarnation) {
		return &halt{fmt.Sprintf("stream %s was made again at %s, and the rows reflect the one made at %s",
			info.Config.Name, created.Format(time.RFC3339Nano), c.incarnation.UTC().Format(time.RFC3339Nano)) + remedy}
	}
	if last := int64(info.State.LastSeq); last < c.sequence {
		return &halt{fmt.Sprintf("stream %s ends at %d, and the rows reflect it up to %d: messages were lost", info.Config.Name, last, c.sequence) + remedy}
	}
	return nil
}

// incarnation is when the stream was created, as exactly as Postgres keeps it.
func incarnation(info *jetstream.StreamInfo) time.Time {
	return info.Created.UTC().Truncate(time.Microsecond)
}

var errFenced = errors.New("the checkpoint was moved by somebody else")

// advance moves the checkpoint within the transaction that writes the rows. It fails if it does not stand
// where we left it: a pooler in between may have lost our lock.
func advance(ctx context.Context, tx pgx.Tx, projection string, from checkpoint, to int64) error {
	tag, err := tx.Exec(ctx, `UPDATE mailwright.checkpoints SET sequence = $1, updated_at = now() WHERE projection = $2 AND incarnation = $3 AND sequence = $4`,
		to, projection, from.incarnation, from.sequence)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return errFenced
	}
	return nil
}
