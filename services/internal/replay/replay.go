// Package replay verifies or rebuilds the projections: it replays the streams into a schema beside
// the live one and compares the two. The live projections go on meanwhile. The live rows are read
// in one snapshot, in which rows and positions belong together, and each projection is replayed to
// exactly its position in that snapshot.
package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Schema holds the replayed rows during a run. A killed run leaves it behind, and the next run
// drops it.
const Schema = "mailwright_replay"

// Connections is the number of connections that a run takes from its pool at once.
func Connections() int { return len(projection.List()) + 3 }

// Config is the input of a run.
type Config struct {
	// Pool connects to the live database, as the user that owns the tables. It must allow
	// [Connections] connections.
	Pool *pgxpool.Pool
	JS   jetstream.JetStream
	Log  *slog.Logger
	// Examples is the largest number of differing rows in [Table.Examples].
	Examples int
	// AcceptLoss lets a rebuild replace rows although their stream was created again or has lost
	// messages. The rows are then made from what is left of the stream.
	AcceptLoss bool
	// Progress is called every 200 ms during the replay, and at the beginning of the other stages,
	// never twice at a time; may be nil.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Stage Stage
	// Done is the number of messages replayed so far, All the number of those to replay. All grows
	// if messages are published during the run.
	Done, All uint64
}

// Stage of a run.
type Stage string

// The stages, in their order.
const (
	Replaying       Stage = "replaying"
	BuildingIndexes Stage = "building indexes" // indexes and statistics are built
	Comparing       Stage = "comparing"
	Swapping        Stage = "swapping"
)

// maxBytes bounds a batch. A replay is a process of its own, and may take more memory than
// projection-svc.
const maxBytes = 4 << 20

// run is a replay under way.
type run struct {
	Config
	control   *pgxpool.Conn       // holds the advisory lock that admits one run at a time
	version   int64               // schema version of the live tables when they were cloned
	replays   []*projector.Replay // one for each stream
	conns     []*pgxpool.Conn
	done, all atomic.Uint64
}

// ErrBusy says that another verify or rebuild is under way.
var ErrBusy = errors.New("another verify or rebuild is under way")

// begin takes the lock and creates the empty schema. The caller must call end, unless begin returns
// an error.
func begin(ctx context.Context, c Config, logged bool) (r *run, err error) {
	r = &run{Config: c}
	defer func() {
		if err != nil {
			r.end(ctx)
		}
	}()
	if r.control, err = c.Pool.Acquire(ctx); err != nil {
		return r, err
	}
	var alone bool
	const tryLock = "SELECT pg_try_advisory_lock(hashtextextended('mailwright replay', 0))"
	if err := r.control.QueryRow(ctx, tryLock).Scan(&alone); err != nil {
		return r, err
	}
	if !alone {
		r.control.Release()
		r.control = nil
		return r, ErrBusy
	}
	if r.version, err = version(ctx, c.Pool.Config().ConnString()); err != nil {
		return r, err
	}
	if err := postgres.InTx(ctx, r.control, func(tx pgx.Tx) error { return clone(ctx, tx, logged) }); err != nil {
		return r, fmt.Errorf("schema %s: %w", Schema, err)
	}
	for _, projections := range projector.ByStream(projection.List()) {
		conn, err := c.Pool.Acquire(ctx)
		if err != nil {
			return r, err
		}
		r.conns = append(r.conns, conn)
		tuning := projector.DefaultTuning
		tuning.MaxBytes = maxBytes
		r.replays = append(r.replays, &projector.Replay{
			Projections: projections, Schema: Schema, Conn: conn.Conn(), JS: c.JS, Log: c.Log,
			Tuning:   tuning,
			Progress: func(messages int) { r.done.Add(uint64(messages)) },
		})
	}
	return r, nil
}

// end drops the schema and closes the connections, also if ctx has ended.
func (r *run) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for _, conn := range r.conns {
		closeConn(ctx, conn)
	}
	if r.control != nil {
		drop := r.control.Exec
		if r.control.Conn().IsClosed() { // for example after Ctrl-C during a query
			drop = r.Pool.Exec
		}
		if _, err := drop(ctx, "DROP SCHEMA IF EXISTS "+Schema+" CASCADE"); err != nil {
			r.Log.Warn("the replay's schema could not be removed; the next run does", "schema", Schema, "error", err)
		}
		// Without this the lock lasts until the server notices that the connection is closed.
		_, _ = r.control.Exec(ctx, "SELECT pg_advisory_unlock_all()")
		closeConn(ctx, r.control)
	}
}

// closeConn closes a connection, which ends its locks and temporary tables.
func closeConn(ctx context.Context, conn *pgxpool.Conn) { _ = conn.Hijack().Close(ctx) }

// replay replays every projection up to its limit.
func (r *run) replay(ctx context.Context, limits map[string]int64) error {
	r.all.Store(r.done.Load())
	for _, each := range r.replays {
		pending, err := each.Pending(ctx)
		if err != nil {
			return err
		}
		r.all.Add(pending)
	}
	ticking, stop := context.WithCancel(ctx)
	var reporting sync.WaitGroup
	reporting.Go(func() { r.reportProgress(ticking) })
	defer func() { // Progress must not be called twice at a time
		stop()
		reporting.Wait()
	}()
	group, ctx := errgroup.WithContext(ctx)
	for _, each := range r.replays {
		group.Go(func() error { return each.To(ctx, limits) })
	}
	return group.Wait()
}

func (r *run) reportProgress(ctx context.Context) {
	for ticker := time.NewTicker(200 * time.Millisecond); ; {
		r.report(Replaying)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			ticker.Stop()
			return
		}
	}
}

func (r *run) report(s Stage) {
	if r.Progress != nil {
		done := r.done.Load()
		r.Progress(Progress{Stage: s, Done: done, All: max(done, r.all.Load())})
	}
}

// target is the position at which the replay of a projection ends: its live position, so that the
// live projection can go on from there. If the live rows reflect another stream than the present
// one, it is the stream's end, and halted says why.
type target struct {
	projector.Checkpoint
	halted error
}

// targets are the targets by the name of the projection.
type targets map[string]target

// limits are the sequences of the targets.
func (t targets) limits() map[string]int64 {
	limits := map[string]int64{}
	for name, each := range t {
		limits[name] = each.Sequence
	}
	return limits
}

// halted joins the reasons of the projections whose rows reflect another stream; nil if there are
// none.
func (t targets) halted() error {
	var all []error
	for _, p := range projection.List() {
		if err := t[p.Name()].halted; err != nil {
			all = append(all, fmt.Errorf("projection %s: %w", p.Name(), err))
		}
	}
	return errors.Join(all...)
}

// comparable reports whether the live rows of a table reflect the streams that were replayed.
func (t targets) comparable(table string) bool {
	return !slices.ContainsFunc(projection.Writers(table), func(name string) bool { return t[name].halted != nil })
}

// targets reads the target of each projection. With lock, no live rows are written until tx ends.
func (r *run) targets(ctx context.Context, tx pgx.Tx, lock bool) (targets, error) {
	at, err := projector.Checkpoints(ctx, tx, lock)
	if err != nil {
		return nil, err
	}
	to := targets{}
	for _, p := range projection.List() {
		stream, err := r.JS.Stream(ctx, p.Stream())
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", p.Stream(), err)
		}
		c, ran := at[p.Name()]
		if !ran {
			c = projector.Start(stream)
		}
		halted := c.Check(ctx, r.JS, p, stream)
		if _, ok := errors.AsType[*projector.Halt](halted); ok {
			c, err = projector.Last(ctx, r.JS, stream)
		} else {
			err = halted
			halted = nil
		}
		if err != nil {
			return nil, err
		}
		to[p.Name()] = target{c, halted}
	}
	return to, nil
}

// currentTargets returns the targets as of now, without a lock.
func (r *run) currentTargets(ctx context.Context) (to targets, err error) {
	err = postgres.InTx(ctx, r.control, func(tx pgx.Tx) (err error) {
		to, err = r.targets(ctx, tx, false)
		return err
	})
	return to, err
}

// version returns the version of the live schema. It is an error if this program knows another one.
func version(ctx context.Context, databaseURL string) (int64, error) {
	current, newest, err := migrations.Version(ctx, databaseURL)
	switch {
	case err != nil:
		return 0, err
	case current == 0:
		return 0, errors.New("there are no projections yet: projection-svc makes their tables when it first starts")
	case current != newest:
		return 0, fmt.Errorf("the tables are of version %d, and this program knows %d: use the mailwright of projection-svc's release",
			current, newest)
	}
	return current, nil
}

// positions returns the targets for the report.
func positions(at targets) (list []Position) {
	for _, p := range projection.List() {
		list = append(list, Position{p.Name(), p.Stream(), at[p.Name()].Sequence})
	}
	return list
}

// Verify compares the live rows with a replay. The tables of halted projections are left out, and
// the error says why the projections halted. The error is [ErrBusy] if another run is under way.
// Differing rows are no error: see [Report.Differences].
func Verify(ctx context.Context, c Config) (report Report, err error) {
	began := time.Now()
	r, err := begin(ctx, c, false)
	if err != nil {
		return report, err
	}
	defer r.end(ctx)
	// Most messages are replayed before the snapshot is taken, since a snapshot that lasts keeps
	// Postgres from removing dead rows.
	to, err := r.currentTargets(ctx)
	if err != nil {
		return report, err
	}
	if err := r.replay(ctx, to.limits()); err != nil {
		return report, err
	}
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, r.control, snapshot, func(tx pgx.Tx) error {
		if to, err = r.targets(ctx, tx, false); err != nil {
			return err
		}
		if err := r.replay(ctx, to.limits()); err != nil {
			return err
		}
		if err := r.applyRetention(ctx, tx); err != nil {
			return err
		}
		r.report(Comparing)
		report.Tables, err = r.compare(ctx, tx, to)
		return err
	})
	report.Positions = positions(to)
	report.Messages = r.done.Load()
	report.Seconds = time.Since(began).Seconds()
	if halted := to.halted(); err == nil && halted != nil {
		report.NotCompared = halted.Error()
		err = halted
	}
	return report, err
}
