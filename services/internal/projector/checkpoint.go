package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

// Checkpoint is the position of a projection: the rows reflect all messages up to Sequence of the
// stream that was created at Incarnation.
type Checkpoint struct {
	Incarnation time.Time
	Sequence    int64
	// StoredAt is when the stream stored the message at Sequence; nil if that is not known.
	StoredAt *time.Time
}

// Checkpoints reads the live positions of all projections that ever ran, by name. With lock, no
// rows are written until the transaction ends.
func Checkpoints(ctx context.Context, tx pgx.Tx, lock bool) (map[string]Checkpoint, error) {
	sql := "SELECT projection, incarnation, sequence, stored_at FROM " + Live + ".checkpoints ORDER BY projection"
	if lock {
		sql += " FOR UPDATE"
	}
	rows, _ := tx.Query(ctx, sql) // ForEachRow reports the error
	list := map[string]Checkpoint{}
	var name string
	var at Checkpoint
	_, err := pgx.ForEachRow(rows, []any{&name, &at.Incarnation, &at.Sequence, &at.StoredAt}, func() error {
		list[name] = at
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	return list, nil
}

// Halt says that a projection cannot go on without help, since its rows would become wrong.
type Halt struct{ Reason string }

// Error gives the reason and the remedy.
func (h *Halt) Error() string {
	return h.Reason + "; restore the stream, or have 'mailwright projection rebuild --accept-loss' make the rows from what is left"
}

// position reads the checkpoint of a projection. If there is none, it creates one before the first
// message of the stream.
func position(ctx context.Context, rows target, p Projection, stream jetstream.Stream) (at Checkpoint, err error) {
	err = rows.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO checkpoints (projection, stream, incarnation) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			p.Name(), p.Stream(), incarnation(stream.CachedInfo()))
		if err != nil {
			return err
		}
		row := tx.QueryRow(ctx, `SELECT incarnation, sequence, stored_at FROM checkpoints WHERE projection = $1`, p.Name())
		return row.Scan(&at.Incarnation, &at.Sequence, &at.StoredAt)
	})
	if err != nil {
		return at, fmt.Errorf("checkpoint: %w", err)
	}
	return at, at.checkSameStream(stream.CachedInfo())
}

// Start is the position before a stream's first message.
func Start(stream jetstream.Stream) Checkpoint {
	return Checkpoint{Incarnation: incarnation(stream.CachedInfo())}
}

// Last is the position at a stream's last message.
func Last(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream) (c Checkpoint, err error) {
	c = Start(stream)
	c.Sequence = int64(stream.CachedInfo().State.LastSeq)
	c.StoredAt, err = storedAt(ctx, js, stream, c.Sequence)
	return c, err
}

// Put stores c as the position of a projection's live rows.
func (c Checkpoint) Put(ctx context.Context, tx pgx.Tx, p Projection) error {
	_, err := tx.Exec(ctx, `INSERT INTO `+Live+`.checkpoints AS old (projection, stream, incarnation, sequence, stored_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (projection) DO UPDATE SET stream = excluded.stream, incarnation = excluded.incarnation, sequence = excluded.sequence, stored_at = excluded.stored_at, updated_at = now()
		WHERE (old.incarnation, old.sequence, old.stored_at) IS DISTINCT FROM (excluded.incarnation, excluded.sequence, excluded.stored_at)`,
		p.Name(), p.Stream(), c.Incarnation, c.Sequence, c.StoredAt)
	return err
}

// Check returns nil if a projection whose live rows are at c can go on with the stream as it is
// now, and a [*Halt] if it cannot. Other errors are about NATS.
func (c Checkpoint) Check(ctx context.Context, js jetstream.JetStream, p Projection, stream jetstream.Stream) error {
	info := stream.CachedInfo()
	if err := errors.Join(c.checkSameStream(info), c.checkNotPurged(p, info)); err != nil || c.StoredAt == nil {
		return err
	}
	// A restored stream may have lost its last messages and have grown to the same length since.
	// Then other messages are at the same sequences.
	at, err := storedAt(ctx, js, stream, c.Sequence)
	if err != nil || at == nil || at.Equal(*c.StoredAt) {
		return err
	}
	return &Halt{fmt.Sprintf("message %d of stream %s was stored at %s, and the rows reflect one that was stored at %s: messages were lost, and others took their places",
		c.Sequence, info.Config.Name, at.Format(time.RFC3339Nano), c.StoredAt.UTC().Format(time.RFC3339Nano))}
}

// checkSameStream returns a [*Halt] if the stream was created again, or ends before c.
func (c Checkpoint) checkSameStream(info *jetstream.StreamInfo) error {
	if created := incarnation(info); !created.Equal(c.Incarnation) {
		return &Halt{fmt.Sprintf("stream %s was made again at %s, and the rows reflect the one made at %s",
			info.Config.Name, created.Format(time.RFC3339Nano), c.Incarnation.UTC().Format(time.RFC3339Nano))}
	}
	if last := int64(info.State.LastSeq); last < c.Sequence {
		return &Halt{fmt.Sprintf("stream %s ends at %d, and the rows reflect it up to %d: messages were lost", info.Config.Name, last, c.Sequence)}
	}
	return nil
}

// checkNotPurged returns a [*Halt] if messages were purged before the projection read them. That
// can be told only for a projection that follows all subjects of a stream without limits. A
// projection that has read nothing yet starts at the first message that there is.
func (c Checkpoint) checkNotPurged(p Projection, info *jetstream.StreamInfo) error {
	s := info.Config
	unlimited := s.DenyDelete && s.MaxAge == 0 && s.MaxMsgs <= 0 && s.MaxBytes <= 0 && s.MaxMsgsPerSubject <= 0
	if !unlimited || len(p.Subjects()) > 0 || c.Sequence == 0 {
		return nil
	}
	if first := int64(info.State.FirstSeq); first > c.Sequence+1 {
		return &Halt{fmt.Sprintf("stream %s begins at %d, and the rows reflect it up to %d: it was purged of messages that are in no row", s.Name, first, c.Sequence)}
	}
	return nil
}

// incarnation is when the stream was created, in the precision of Postgres.
func incarnation(info *jetstream.StreamInfo) time.Time { return postgresTime(info.Created) }

// postgresTime rounds a time down to microseconds, the precision of Postgres.
func postgresTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// storedAt is when the message at a sequence was stored; nil if there is no such message.
func storedAt(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, sequence int64) (*time.Time, error) {
	if sequence == 0 {
		return nil, nil
	}
	d, found, err := bus.Read(ctx, js, stream, uint64(sequence))
	if err != nil || !found {
		return nil, err
	}
	at := postgresTime(d.StoredAt)
	return &at, nil
}

// errFenced says that another process has moved the checkpoint.
var errFenced = errors.New("the checkpoint was moved by somebody else")

// moveCheckpoints locks the rows in the order in which [Checkpoints] does.
const moveCheckpoints = `UPDATE checkpoints AS c SET sequence = m.sequence, stored_at = m.stored_at, updated_at = now()
	FROM (SELECT c.projection, m.sequence, m.stored_at FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[]) AS m (projection, old, sequence, stored_at)
		JOIN checkpoints c ON c.projection = m.projection AND c.sequence = m.old WHERE c.incarnation = $5 ORDER BY c.projection FOR UPDATE OF c) AS m
	WHERE c.projection = m.projection`

// moveTo queues the move of checkpoints within the transaction that writes the rows. The
// transaction fails with errFenced if one of them is not where this process left it: a connection
// pooler may have lost our lock.
func (f *follower) moveTo(ctx context.Context, tx *Tx, to []Checkpoint) error {
	var names []string
	var from, sequences []int64
	var stored []*time.Time
	for i, s := range f.states {
		if to[i].Sequence > s.at.Sequence {
			names, from = append(names, s.Name()), append(from, s.at.Sequence)
			sequences, stored = append(sequences, to[i].Sequence), append(stored, to[i].StoredAt)
		}
	}
	if len(names) == 0 {
		return nil
	}
	check := func(r *pgconn.ResultReader) error {
		tag, err := r.Close()
		if err == nil && tag.RowsAffected() != int64(len(names)) {
			err = errFenced
		}
		return err
	}
	return tx.queue(ctx, moveCheckpoints, []any{names, from, sequences, stored, f.states[0].at.Incarnation}, check)
}
