package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Rebuild replays the streams and replaces the live rows by the replayed ones, in one transaction.
// Readers of the views see the old rows or the new ones, never none (docs/projections.md has an
// exception for REPEATABLE READ). Meanwhile the live projections wait at their checkpoints. With
// compare, the two sets of rows are compared first; rows that reflect another stream than the one
// that was replayed cannot be compared.
//
// The error is [ErrBusy] if another run is under way. On any error nothing was changed.
func Rebuild(ctx context.Context, c Config, compare bool) (report Report, err error) {
	began := time.Now()
	r, err := begin(ctx, c, true)
	if err != nil {
		return report, err
	}
	defer r.end(ctx)
	// A view that prevents the swap is reported before the replay, which takes long.
	err = postgres.InTx(ctx, r.control, func(tx pgx.Tx) error {
		_, err := dependentViews(ctx, tx)
		return err
	})
	if err != nil {
		return report, err
	}
	to, err := r.currentTargets(ctx)
	if err != nil {
		return report, err
	}
	if err := r.checkLoss(to); err != nil {
		return report, err
	}
	if err := r.replay(ctx, to.limits()); err != nil {
		return report, err
	}
	r.report(BuildingIndexes)
	if err := r.buildIndexes(ctx); err != nil {
		return report, err
	}
	err = postgres.InTx(ctx, r.control, func(tx pgx.Tx) error {
		if to, err = r.targets(ctx, tx, true); err != nil {
			return err
		}
		if err := r.checkLoss(to); err != nil {
			return err
		}
		if err := r.replay(ctx, to.limits()); err != nil {
			return err
		}
		if err := r.applyRetention(ctx, tx); err != nil {
			return err
		}
		if halted := to.halted(); halted != nil {
			report.NotCompared = halted.Error()
		}
		if compare {
			r.report(Comparing)
			if report.Tables, err = r.compare(ctx, tx, to); err != nil {
				return err
			}
		} else {
			report.NotCompared = "as asked"
		}
		if err := r.refresh(ctx); err != nil {
			return err
		}
		r.report(Swapping)
		return r.swap(ctx, tx, to)
	})
	report.Swapped = err == nil
	report.Positions = positions(to)
	report.Messages = r.done.Load()
	report.Seconds = time.Since(began).Seconds()
	return report, err
}

// refresh replays, beyond the positions, the streams that keep only the latest message of each
// subject. The message from which a live row was made may have been replaced since, so that the
// replay up to the position lacks the row. The positions that are committed stay as they are: the
// live projection then applies the same messages again, which changes nothing.
func (r *run) refresh(ctx context.Context) error {
	for _, each := range r.replays {
		stream, err := r.JS.Stream(ctx, each.Stream())
		if err != nil {
			return fmt.Errorf("stream %s: %w", each.Stream(), err)
		}
		if stream.CachedInfo().Config.MaxMsgsPerSubject != 1 {
			continue
		}
		ends := map[string]int64{}
		for _, p := range each.Projections {
			ends[p.Name()] = projector.All
		}
		if err := each.To(ctx, ends); err != nil {
			return err
		}
	}
	return nil
}

// buildIndexes builds the indexes of the replayed tables, the largest table first, on all
// connections at once.
func (r *run) buildIndexes(ctx context.Context) error {
	var tables []string
	err := postgres.InTx(ctx, r.control, func(tx pgx.Tx) (err error) {
		tables, err = texts(ctx, tx, tablesBySize, Schema, bookkeeping)
		return err
	})
	if err != nil {
		return err
	}
	next := make(chan string, len(tables))
	for _, table := range tables {
		next <- table
	}
	close(next)
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range r.conns {
		group.Go(func() error {
			for table := range next {
				if err := postgres.InTx(ctx, conn, func(tx pgx.Tx) error { return buildTableIndexes(ctx, tx, table) }); err != nil {
					return fmt.Errorf("table %s: %w", table, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

const (
	// lockTimeout is how long the swap waits for readers of the views. While it waits, new readers
	// wait behind it, so it gives up soon and tries again. It is shorter than Postgres'
	// deadlock_timeout: in a deadlock the swap gives up before Postgres ends a reader's
	// transaction.
	lockTimeout  = 500 * time.Millisecond
	pause        = time.Second
	lockAttempts = 120
	// lockNotAvailable is the SQLSTATE after lock_timeout.
	lockNotAvailable = "55P03"
)

// swap replaces the live tables by the replayed ones. It tries again while readers hold locks.
func (r *run) swap(ctx context.Context, tx pgx.Tx, to targets) error {
	for attempt := 1; ; attempt++ {
		err := postgres.InTx(ctx, tx, func(tx pgx.Tx) error { return r.swapOnce(ctx, tx, to) })
		refused, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || refused.Code != lockNotAvailable {
			return err
		}
		if attempt == lockAttempts {
			return fmt.Errorf("somebody reads without end (transactions longer than a minute are in pg_stat_activity); nothing was changed: %w", err)
		}
		r.Log.Info("readers are in the way of the swap; it waits", "attempt", attempt)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// swapOnce locks the views first, as readers do: a reader that waits for a view finds the new
// tables in it. A view refers to its tables by their identity, not by their names, so each view is
// created again from its own definition.
func (r *run) swapOnce(ctx context.Context, tx pgx.Tx, to targets) error {
	var version int64
	if err := tx.QueryRow(ctx, "SELECT max(version_id) FROM "+projector.Live+".schema_version").Scan(&version); err != nil {
		return err
	}
	if version != r.version {
		return errors.New("the tables were migrated meanwhile; nothing was changed: run it again")
	}
	old, err := texts(ctx, tx, tableNames, projector.Live, bookkeeping)
	if err != nil {
		return err
	}
	replayed, err := texts(ctx, tx, tableNames, Schema, bookkeeping)
	if err != nil {
		return err
	}
	views, err := dependentViews(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d; %s", lockTimeout.Milliseconds(), useReplaySchema)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, recreateSQL(views)); err != nil {
		return fmt.Errorf("the views: %w", err)
	}
	if _, err := tx.Exec(ctx, "DROP TABLE "+qualifiedNames(projector.Live, old)); err != nil {
		return err
	}
	for _, name := range replayed {
		if _, err := tx.Exec(ctx, "ALTER TABLE "+qualifiedNames(Schema, []string{name})+" SET SCHEMA "+projector.Live); err != nil {
			return err
		}
	}
	for _, p := range projection.List() {
		if err := to[p.Name()].Put(ctx, tx, p); err != nil {
			return err
		}
	}
	return nil
}

// checkLoss refuses to replace rows by those of a stream that was created again or has lost
// messages, unless the caller accepts the loss: the live rows may be all that is left.
func (r *run) checkLoss(to targets) error {
	if halted := to.halted(); halted != nil && !r.AcceptLoss {
		return fmt.Errorf("a rebuild would take away rows that can not be had again, and nothing was changed: %w", halted)
	}
	return nil
}
