package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/postgres"
)

// follower follows a stream while it holds the projection's lock.
type follower struct {
	projection Projection
	conn       *pgx.Conn
	stream     jetstream.Stream
	reader     *reader
	at         checkpoint
	log        *slog.Logger

	pruned jetstream.StreamState // as of the last Prune
}

func (f *follower) follow(ctx context.Context) (moved bool, err error) {
	for {
		batch, err := f.reader.gather(ctx)
		if err == nil && len(batch) > 0 {
			err = f.commit(ctx, batch)
		} else if err == nil {
			err = f.idle(ctx)
		}
		if err != nil {
			return moved, err
		}
		moved = true
	}
}

// commit writes a batch's rows and its position in one transaction.
func (f *follower) commit(ctx context.Context, batch []Record) error {
	// Asked after the batch has come: if the stream is still the one that the rows reflect, so was the
	// one that the batch came from.
	info, err := f.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if err := f.at.fits(info); err != nil {
		return err
	}
	to := batch[len(batch)-1].Sequence
	err = postgres.InTx(ctx, f.conn, func(tx pgx.Tx) error {
		if err := advance(ctx, tx, f.projection.Name(), f.at, to); err != nil {
			return err
		}
		return f.applyAll(ctx, tx, batch)
	})
	if err != nil {
		return err
	}
	f.at.sequence = to
	return nil
}

func (f *follower) applyAll(ctx context.Context, tx pgx.Tx, batch []Record) error {
	err := f.apply(ctx, tx, batch)
	if _, unfit := f.unfit(ctx, err); !unfit {
		return err
	}
	for _, record := range batch {
		err := f.apply(ctx, tx, []Record{record})
		reason, unfit := f.unfit(ctx, err)
		if unfit {
			err = f.note(ctx, tx, record, reason)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// apply leaves the transaction usable, as it was before, where the projection fails.
func (f *follower) apply(ctx context.Context, tx pgx.Tx, records []Record) error {
	return postgres.InTx(ctx, tx, func(tx pgx.Tx) (err error) {
		defer func() {
			if r := recover(); r != nil {
				f.log.Error("panic", "panic", r, "stack", string(debug.Stack()))
				err = Unfitf("a fault of the program: it panicked")
			}
		}()
		return f.projection.Apply(ctx, tx, records)
	})
}

// unfit tells whether an error is the records' fault, so that trying again is in vain, and gives a reason that
// quotes nothing of them: Postgres' own messages may.
func (f *follower) unfit(ctx context.Context, err error) (reason string, unfit bool) {
	if err == nil || ctx.Err() != nil || f.conn.IsClosed() {
		return "", false
	}
	if u, ok := errors.AsType[*Unfit](err); ok {
		return u.Reason, true
	}
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		// Neither Postgres nor the connection: the value can not even be sent.
		return fmt.Sprintf("it can not be put into a row (%T)", err), true
	}
	// data exception, integrity constraint violation, program limit exceeded
	if class := refusal.Code[:2]; !slices.Contains([]string{"22", "23", "54"}, class) {
		return "", false
	}
	return fmt.Sprintf("Postgres refuses the row: SQLSTATE %s, table %q, column %q, constraint %q",
		refusal.Code, refusal.TableName, refusal.ColumnName, refusal.ConstraintName), true
}

// note records a message that can not be applied: it neither stops the projection nor vanishes.
func (f *follower) note(ctx context.Context, tx pgx.Tx, r Record, reason string) error {
	f.log.Error("a message can not be applied; it is noted in projection_errors", "sequence", r.Sequence, "subject", r.Subject, "reason", reason)
	_, err := tx.Exec(ctx, `INSERT INTO mailwright.projection_errors (projection, sequence, stream, subject, reason, stored_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (projection, sequence) DO UPDATE SET reason = excluded.reason, recorded_at = now()`,
		f.projection.Name(), r.Sequence, f.projection.Stream(), r.Subject, reason, r.StoredAt)
	return err
}

// idle looks whether connection, consumer and stream are still what we think, and prunes.
func (f *follower) idle(ctx context.Context) error {
	if err := f.conn.Ping(ctx); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	info, err := f.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if err := f.at.fits(info); err != nil {
		return err
	}
	if err := f.reader.check(ctx); err != nil {
		return err
	}
	return f.prune(ctx, info.State)
}

func (f *follower) prune(ctx context.Context, state jetstream.StreamState) error {
	pruner, ok := f.projection.(Pruner)
	if !ok || (state.FirstSeq == f.pruned.FirstSeq && state.NumDeleted == f.pruned.NumDeleted) {
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
	err = postgres.InTx(ctx, f.conn, func(tx pgx.Tx) error {
		return pruner.Prune(ctx, tx, int64(info.State.FirstSeq), deleted)
	})
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	f.pruned = state
	return nil
}
