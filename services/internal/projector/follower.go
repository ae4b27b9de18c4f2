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
	"github.com/mailwright/mailwright/services/internal/metrics"
	"github.com/mailwright/mailwright/services/internal/postgres"
)

// follower writes the messages of a stream to a target, for the live projections while it holds the
// lock, or in a replay. It runs on one goroutine.
type follower struct {
	target
	states     []*projectionState
	js         jetstream.JetStream
	stream     jetstream.Stream
	reader     *reader
	log        *slog.Logger
	onCommit   func(messages int) // called after each commit; may be nil
	delay      time.Duration      // how long messages wait after they were stored
	failpoints failpoint.Set

	pruned       jetstream.StreamState // the stream at the last Prune
	checkedAt    time.Time             // when idle last ran
	maintainedAt time.Time             // when maintain last ran; zero for a replay
}

// projectionState is a projection and its position.
type projectionState struct {
	Projection
	subjects []string // the result of Subjects
	at       Checkpoint
	limit    int64 // the last sequence that the rows are to reflect
	// sawBeyond is true once a message for the projection came after its limit.
	sawBeyond bool
}

// begin sets the connection up, and reads the positions of the projections.
func (f *follower) begin(ctx context.Context, projections []Projection) error {
	if err := f.setUp(ctx); err != nil {
		return err
	}
	for _, p := range projections {
		at, err := position(ctx, f.target, p, f.stream)
		if err != nil {
			return err
		}
		f.states = append(f.states, &projectionState{Projection: p, subjects: p.Subjects(), at: at, limit: noLimit})
	}
	return nil
}

// subjectsOf returns the subjects of all projections; nil if one of them follows all.
func subjectsOf(projections []Projection) (subjects []string) {
	for _, p := range projections {
		if len(p.Subjects()) == 0 {
			return nil
		}
		subjects = append(subjects, p.Subjects()...)
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// prefetched is the result of one read: records; or none if the stream was idle; or an error, after
// which the reader is of no use.
type prefetched struct {
	records []Record
	batches []batch // one for each projection
	err     error
}

// follow commits batch after batch until ctx ends or something fails. Meanwhile the next batches
// are read. moved is true if at least one batch or idle check succeeded.
func (f *follower) follow(ctx context.Context) (moved bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ahead := f.prefetch(ctx)
	defer func() {
		cancel()
		for range ahead { // until the goroutines of prefetch have ended
		}
	}()
	for next := range ahead {
		f.maintain(ctx)
		switch {
		case next.err != nil:
			err = next.err
		case len(next.records) > 0:
			err = f.commit(ctx, next)
			// A busy stream is never idle, so the checks of idle run in between.
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

// prefetch returns a channel of records that are read and turned into writes. While one batch is
// written, the next is turned into writes, and the one after that is read from the stream.
func (f *follower) prefetch(ctx context.Context) <-chan prefetched {
	// A copy, since the positions of the states move as batches are written.
	after := make([]int64, len(f.states))
	for i, s := range f.states {
		after[i] = s.at.Sequence
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

// read turns records into writes, for each projection that follows them.
func (f *follower) read(next *prefetched, after []int64) {
	if len(next.records) == 0 {
		return
	}
	if len(f.states) > 1 {
		for i := range next.records {
			next.records[i].memo = new(any)
		}
	}
	for i, s := range f.states {
		next.batches = append(next.batches, newBatch(s, s.selectRecords(next.records, after[i]), f.log))
	}
}

// wait waits until a record was stored long enough ago. The clocks of the server and of this
// machine may differ, so it waits for the delay at most.
func (f *follower) wait(ctx context.Context, r Record) {
	if left := min(f.delay, f.delay-time.Since(r.StoredAt)); left > 0 {
		select {
		case <-time.After(left):
		case <-ctx.Done():
		}
	}
}

// commit writes the rows of a batch and the new position in one transaction.
func (f *follower) commit(ctx context.Context, next prefetched) error {
	f.wait(ctx, next.records[len(next.records)-1])
	// The check comes after the batch was read. If the stream is the same now, it was the same when
	// the batch was read.
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

// checkStream returns a [*Halt] if the stream is not the one that the rows reflect. Messages that a
// replay has not read yet may be purged: the live rows reflect them.
func (f *follower) checkStream(ctx context.Context) (jetstream.StreamState, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("stream: %w", err)
	}
	for _, s := range f.states {
		err := s.at.checkSameStream(info)
		if err == nil && f.schema == Live {
			err = s.at.checkNotPurged(s, info)
		}
		if err != nil {
			return info.State, err
		}
	}
	return info.State, nil
}

// advance writes the batches, and moves each checkpoint to last or to the projection's limit. The
// checkpoints are updated before the rows: a transaction that locks the checkpoints therefore holds
// up every write of rows.
func (f *follower) advance(ctx context.Context, last Checkpoint, batches []batch) error {
	to := make([]Checkpoint, len(f.states))
	for i, s := range f.states {
		to[i] = s.clampTo(last)
	}
	err := f.writeAtOnce(ctx, to, batches)
	if errors.Is(err, errCareful) || f.refusal(ctx, err) != nil {
		err = f.writeCarefully(ctx, to, batches)
	}
	if err != nil {
		return err
	}
	f.failpoints.Reach(failpoint.Committed)
	for i, s := range f.states {
		s.at = to[i]
	}
	return nil
}

// writeAtOnce writes the batches without savepoints, in two round trips and a few for each table
// that gets many rows. If Postgres refuses a row, nothing is written.
func (f *follower) writeAtOnce(ctx context.Context, to []Checkpoint, batches []batch) (err error) {
	tx := &Tx{conn: f.conn}
	defer func() {
		if err != nil && !f.conn.IsClosed() {
			_, _ = f.conn.Exec(ctx, "ROLLBACK") // else the connection is of no use, as the next statement finds
		}
	}()
	for _, step := range []func() error{
		func() error { return tx.Exec(ctx, "BEGIN") },
		func() error { return f.moveTo(ctx, tx, to) },
		func() error { return eachPart(batches, func(p part) error { return p.write.lookUp(ctx, tx) }) },
		func() error { return tx.flush(ctx) },
		func() error { return eachPart(batches, func(p part) error { return p.write.apply(ctx, tx) }) },
		func() error { return tx.Exec(ctx, "COMMIT") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	f.failpoints.Reach(failpoint.Commit)
	return tx.flush(ctx)
}

func eachPart(batches []batch, do func(part) error) error {
	for _, b := range batches {
		for _, p := range b {
			if p.unprojectable != nil {
				return errCareful
			}
			if err := do(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeCarefully writes each part of a batch behind a savepoint.
func (f *follower) writeCarefully(ctx context.Context, to []Checkpoint, batches []batch) error {
	return f.inTx(ctx, func(tx pgx.Tx) error {
		positions := &Tx{conn: f.conn, careful: tx}
		if err := f.moveTo(ctx, positions, to); err != nil {
			return err
		}
		if err := positions.flush(ctx); err != nil {
			return err
		}
		for i, b := range batches {
			for _, p := range b {
				if err := f.apply(ctx, tx, f.states[i], p); err != nil {
					return err
				}
			}
		}
		f.failpoints.Reach(failpoint.Commit)
		return nil
	})
}

// refusal returns why rows can never be written, or nil if the error may pass.
func (f *follower) refusal(ctx context.Context, err error) *UnprojectableError {
	if err == nil || ctx.Err() != nil || f.conn.IsClosed() || errors.Is(err, errFenced) {
		return nil
	}
	return asUnprojectable(err)
}

// clampTo is the checkpoint after all messages up to last are applied, but at most the projection's
// limit.
func (s *projectionState) clampTo(last Checkpoint) Checkpoint {
	to := Checkpoint{s.at.Incarnation, min(last.Sequence, s.limit), last.StoredAt}
	if to.Sequence <= s.at.Sequence {
		return s.at
	}
	if to.Sequence < last.Sequence {
		to.StoredAt = nil
	}
	return to
}

// apply writes a part of a batch. If Postgres refuses it, apply writes record by record, and notes
// each refused record in projection_errors.
func (f *follower) apply(ctx context.Context, tx pgx.Tx, s *projectionState, p part) error {
	refused := p.unprojectable
	if refused == nil {
		// A savepoint, so that the transaction can go on after a refusal.
		err := postgres.InTx(ctx, tx, func(tx pgx.Tx) error { return p.write.careful(ctx, &Tx{conn: f.conn, careful: tx}) })
		if refused = f.refusal(ctx, err); refused == nil {
			return err
		}
	}
	if len(p.records) == 1 {
		return f.recordUnprojectable(ctx, tx, s, p.records[0], refused.Reason)
	}
	for _, single := range split(s, p.records, f.log) {
		if err := f.apply(ctx, tx, s, single); err != nil {
			return err
		}
	}
	return nil
}

// asUnprojectable returns why a record can never be applied, or nil if the error may pass. The
// reason quotes nothing of the record, as Postgres' own messages may.
func asUnprojectable(err error) *UnprojectableError {
	if u, ok := errors.AsType[*UnprojectableError](err); ok {
		return u
	}
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		// The error came neither from Postgres nor from the connection: the value cannot be
		// encoded.
		return &UnprojectableError{fmt.Sprintf("it cannot be put into a row (%T)", err)}
	}
	// Classes: data exception, integrity constraint violation, program limit exceeded.
	if class := refusal.Code[:2]; !slices.Contains([]string{"22", "23", "54"}, class) {
		return nil
	}
	return &UnprojectableError{fmt.Sprintf("Postgres refuses the row: SQLSTATE %s, table %q, column %q, constraint %q",
		refusal.Code, refusal.TableName, refusal.ColumnName, refusal.ConstraintName)}
}

// recordUnprojectable notes in projection_errors a message that cannot be applied. The projection
// goes on after it.
func (f *follower) recordUnprojectable(ctx context.Context, tx pgx.Tx, s *projectionState, r Record, reason string) error {
	if f.schema == Live {
		metrics.ProjectionErrors.WithLabelValues(s.Name()).Inc()
	}
	f.log.Error("a message cannot be applied; it is noted in projection_errors",
		"projection", s.Name(), "sequence", r.Sequence, "reason", reason)
	_, err := tx.Exec(ctx, `INSERT INTO projection_errors (projection, sequence, stream, subject, reason, stored_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (projection, sequence) DO UPDATE SET reason = excluded.reason, recorded_at = now()`,
		s.Name(), r.Sequence, s.Stream(), r.Subject, reason, r.StoredAt)
	return err
}

// idle checks that the connection works and that the stream is still the same, and prunes.
func (f *follower) idle(ctx context.Context) error {
	f.checkedAt = time.Now()
	if err := f.conn.Ping(ctx); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	state, err := f.checkStream(ctx)
	if err != nil {
		return err
	}
	for _, s := range f.states {
		if f.schema == Live {
			if err := s.at.Check(ctx, f.js, s, f.stream); err != nil {
				return err
			}
		}
		if pruner, ok := s.Projection.(Pruner); ok {
			if err := f.prune(ctx, s, pruner, state); err != nil {
				return err
			}
		}
	}
	return nil
}

// maintainEvery is how often tables are maintained.
const maintainEvery = time.Hour

// maintain lets the live projections maintain their tables. A failure is logged, and rows are
// written all the same.
func (f *follower) maintain(ctx context.Context) {
	if time.Since(f.maintainedAt) < maintainEvery || f.schema != Live {
		return
	}
	f.maintainedAt = time.Now()
	for _, s := range f.states {
		maintainer, ok := s.Projection.(Maintainer)
		if !ok {
			continue
		}
		err := f.withCheckpointLocked(ctx, s, func(tx pgx.Tx) error { return maintainer.Maintain(ctx, tx, f.maintainedAt) })
		if err != nil && ctx.Err() == nil {
			f.log.Error("the maintenance of tables failed; it is tried again", "in", maintainEvery, "error", err)
		}
	}
}

// withCheckpointLocked runs do in a transaction that locks the projection's checkpoint. A rebuild
// holds that lock while it replaces the tables: without the lock, do could change the old tables,
// and the change would be lost.
func (f *follower) withCheckpointLocked(ctx context.Context, s *projectionState, do func(pgx.Tx) error) error {
	return f.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT FROM checkpoints WHERE projection = $1 FOR UPDATE", s.Name()); err != nil {
			return err
		}
		return do(tx)
	})
}

// prune removes the rows of messages that were deleted from the stream since the last prune.
func (f *follower) prune(ctx context.Context, s *projectionState, pruner Pruner, state jetstream.StreamState) error {
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
	err = f.withCheckpointLocked(ctx, s, func(tx pgx.Tx) error {
		return pruner.Prune(ctx, tx, int64(info.State.FirstSeq), deleted)
	})
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	f.pruned = state
	return nil
}
