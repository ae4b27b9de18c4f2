package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/postgres"
)

// follower follows a stream for one projection while it holds the projection's lock, or replays it
// for several at once.
type follower struct {
	target
	states     []*projectionState
	js         jetstream.JetStream
	stream     jetstream.Stream
	reader     *reader
	log        *slog.Logger
	onCommit   func(messages int) // nil: nobody wants to know
	failpoints failpoint.Set

	pruned       jetstream.StreamState // as of the last Prune
	checkedAt    time.Time             // when position and stream were last looked at
	maintainedAt time.Time             // when; zero for a replay
}

// projectionState is a projection that a follower writes.
type projectionState struct {
	Projection
	subjects []string // what Subjects gives
	at       Checkpoint
	limit    int64 // the last sequence that it is to reflect
	// sawBeyond says that messages for it were seen beyond its limit.
	sawBeyond bool
}

func newState(p Projection, at Checkpoint, limit int64) *projectionState {
	return &projectionState{Projection: p, subjects: p.Subjects(), at: at, limit: limit}
}

// prefetched is what the reader gave: messages, nothing for a while, or an error that ends it.
type prefetched struct {
	records []Record
	batches []batch // one a member
	err     error
}

// follow commits batch after batch, while the next ones are gathered and read.
func (f *follower) follow(ctx context.Context) (moved bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ahead := f.prefetch(ctx)
	defer func() {
		cancel()
		for range ahead { // until it has ended
		}
	}()
	for next := range ahead {
		f.maintain(ctx)
		switch {
		case next.err != nil:
			err = next.err
		case len(next.records) > 0:
			err = f.commit(ctx, next)
			// it may never be idle
			if err == nil && f.schema == Live && time.Since(f.checkedAt) >= f.reader.tuning.Idle {
				err = f.idle(ctx)
			}
		default:
			err = f.idle(ctx)
		}
		if err != nil {
			return moved, err
		}
		moved = true
	}
	return moved, ctx.Err()
}

// prefetch gathers a batch while the one before is read, which is while the one before that is
// written.
func (f *follower) prefetch(ctx context.Context) <-chan prefetched {
	// not the members' own, which move as batches are written
	after := make([]int64, len(f.states))
	for i, m := range f.states {
		after[i] = m.at.Sequence
	}
	unread, ahead := make(chan prefetched), make(chan prefetched)
	go func() {
		defer close(unread)
		for {
			records, err := f.reader.gather(ctx)
			select {
			case unread <- prefetched{records: records, err: err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(ahead)
		for next := range unread {
			f.read(&next, after)
			select {
			case ahead <- next:
			case <-ctx.Done():
			}
		}
	}()
	return ahead
}

// read reads what was gathered for each member.
func (f *follower) read(next *prefetched, after []int64) {
	if len(next.records) == 0 {
		return
	}
	if len(f.states) > 1 {
		for i := range next.records {
			next.records[i].memo = new(any)
		}
	}
	for i, m := range f.states {
		next.batches = append(next.batches, newBatch(m, m.selectRecords(next.records, after[i]), f.log))
	}
}

// commit writes the rows of a batch and its position in one transaction.
func (f *follower) commit(ctx context.Context, next prefetched) error {
	// Asked after the batch has come: if the stream is still the one that the rows reflect, so was
	// the one that the batch came from.
	if _, err := f.checkStream(ctx); err != nil {
		return err
	}
	last := next.records[len(next.records)-1]
	stored := postgresTime(last.StoredAt)
	if err := f.advance(ctx, Checkpoint{Sequence: last.Sequence, StoredAt: &stored}, next.batches); err != nil {
		return err
	}
	if f.onCommit != nil {
		f.onCommit(len(next.records))
	}
	return nil
}

// checkStream checks that the stream is still the one that the rows reflect. What a replay has not read
// yet may be purged: the live rows have it.
func (f *follower) checkStream(ctx context.Context) (jetstream.StreamState, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("stream: %w", err)
	}
	for _, m := range f.states {
		err := m.at.checkSameStream(info)
		if err == nil && f.schema == Live {
			err = m.at.checkNotPurged(m, info)
		}
		if err != nil {
			return info.State, err
		}
	}
	return info.State, nil
}

// advance writes the members' batches, and moves their checkpoints as far as their limits allow. A
// checkpoint comes before its rows: whoever locks it holds every write back.
func (f *follower) advance(ctx context.Context, last Checkpoint, batches []batch) error {
	to := make([]Checkpoint, len(f.states))
	err := f.inTx(ctx, func(tx pgx.Tx) error {
		for i, m := range f.states {
			if to[i] = m.clampTo(last); to[i].Sequence > m.at.Sequence {
				if err := advance(ctx, tx, m.Name(), m.at, to[i]); err != nil {
					return err
				}
			}
			if batches == nil {
				continue
			}
			for _, p := range batches[i] {
				if err := f.apply(ctx, tx, m, p); err != nil {
					return err
				}
			}
		}
		f.failpoints.Reach(failpoint.Commit)
		return nil
	})
	if err != nil {
		return err
	}
	f.failpoints.Reach(failpoint.Committed)
	for i, m := range f.states {
		m.at = to[i]
	}
	return nil
}

// clampTo is where a member stands when all up to last is applied that it is to reflect.
func (m *projectionState) clampTo(last Checkpoint) Checkpoint {
	to := Checkpoint{m.at.Incarnation, min(last.Sequence, m.limit), last.StoredAt}
	if to.Sequence <= m.at.Sequence {
		return m.at
	}
	if to.Sequence < last.Sequence {
		to.StoredAt = nil
	}
	return to
}

// apply writes a part; where Postgres refuses it, record by record, and notes which it was.
func (f *follower) apply(ctx context.Context, tx pgx.Tx, m *projectionState, p part) error {
	refused := p.unprojectable
	if refused == nil {
		// A savepoint: the transaction stays usable.
		err := postgres.InTx(ctx, tx, func(tx pgx.Tx) error { return p.write(ctx, tx) })
		if err == nil || ctx.Err() != nil || f.conn.IsClosed() {
			return err
		}
		if refused = asUnprojectable(err); refused == nil {
			return err
		}
	}
	if len(p.records) == 1 {
		return f.recordUnprojectable(ctx, tx, m, p.records[0], refused.Reason)
	}
	for _, single := range split(m, p.records, f.log) {
		if err := f.apply(ctx, tx, m, single); err != nil {
			return err
		}
	}
	return nil
}

// unprojectable tells whether an error is the records' fault, so that trying again is in vain, with a
// reason that quotes nothing of them: Postgres' own messages may. Else it gives nil.
func asUnprojectable(err error) *UnprojectableError {
	if u, ok := errors.AsType[*UnprojectableError](err); ok {
		return u
	}
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		// Neither Postgres nor the connection: the value cannot even be sent.
		return &UnprojectableError{fmt.Sprintf("it can not be put into a row (%T)", err)}
	}
	// data exception, integrity constraint violation, program limit exceeded
	if class := refusal.Code[:2]; !slices.Contains([]string{"22", "23", "54"}, class) {
		return nil
	}
	return &UnprojectableError{fmt.Sprintf("Postgres refuses the row: SQLSTATE %s, table %q, column %q, constraint %q",
		refusal.Code, refusal.TableName, refusal.ColumnName, refusal.ConstraintName)}
}

// recordUnprojectable records a message that cannot be applied: it neither stops the projection nor vanishes.
func (f *follower) recordUnprojectable(ctx context.Context, tx pgx.Tx, m *projectionState, r Record, reason string) error {
	f.log.Error("a message cannot be applied; it is noted in projection_errors", "projection", m.Name(), "sequence", r.Sequence, "subject", r.Subject, "reason", reason)
	_, err := tx.Exec(ctx, `INSERT INTO projection_errors (projection, sequence, stream, subject, reason, stored_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (projection, sequence) DO UPDATE SET reason = excluded.reason, recorded_at = now()`,
		m.Name(), r.Sequence, m.Stream(), r.Subject, reason, r.StoredAt)
	return err
}

// idle looks whether connection and stream are still what we think, and prunes.
func (f *follower) idle(ctx context.Context) error {
	f.checkedAt = time.Now()
	if err := f.conn.Ping(ctx); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	state, err := f.checkStream(ctx)
	if err != nil {
		return err
	}
	for _, m := range f.states {
		if f.schema == Live {
			if err := m.at.Check(ctx, f.js, m, f.stream); err != nil {
				return err
			}
		}
		if pruner, ok := m.Projection.(Pruner); ok {
			if err := f.prune(ctx, m, pruner, state); err != nil {
				return err
			}
		}
	}
	return nil
}

const maintainEvery = time.Hour

// maintain has the projections maintain their tables. That this fails stops nothing: the rows still
// come.
func (f *follower) maintain(ctx context.Context) {
	if time.Since(f.maintainedAt) < maintainEvery || f.schema != Live {
		return
	}
	f.maintainedAt = time.Now()
	for _, m := range f.states {
		maintainer, ok := m.Projection.(Maintainer)
		if !ok {
			continue
		}
		err := f.withCheckpointLocked(ctx, m, func(tx pgx.Tx) error { return maintainer.Maintain(ctx, tx, f.maintainedAt) })
		if err != nil && ctx.Err() == nil {
			f.log.Error("the maintenance of tables failed; it is tried again", "in", maintainEvery, "error", err)
		}
	}
}

// withCheckpointLocked does something in a transaction that holds the member's checkpoint: whoever rebuilds the
// tables meanwhile has locked it, and what is done to the old ones then would be lost.
func (f *follower) withCheckpointLocked(ctx context.Context, m *projectionState, do func(pgx.Tx) error) error {
	return f.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT FROM checkpoints WHERE projection = $1 FOR UPDATE", m.Name()); err != nil {
			return err
		}
		return do(tx)
	})
}

func (f *follower) prune(ctx context.Context, m *projectionState, pruner Pruner, state jetstream.StreamState) error {
	if state.FirstSeq == f.pruned.FirstSeq && state.NumDeleted == f.pruned.NumDeleted {
		return nil
	}
	info, err := f.stream.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	deleted := make([]int64, len(info.State.Deleted))
	for i, sequence := range info.State.Deleted {
		deleted[i] = int64(sequence)
	}
	err = f.withCheckpointLocked(ctx, m, func(tx pgx.Tx) error {
		return pruner.Prune(ctx, tx, int64(info.State.FirstSeq), deleted)
	})
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	f.pruned = state
	return nil
}
