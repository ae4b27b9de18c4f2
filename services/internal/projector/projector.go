// Package projector runs projections: it reads a stream in order and has a [Projection] turn its
// messages into rows. Rows and the position in the stream commit in one transaction, so that the
// rows equal at any moment what replaying the stream up to that position gives.
//
// The position in Postgres is the truth. After any error the server's consumer is deleted, and a
// new one is made from that position. One process leads a projection, by a Postgres advisory lock
// on the connection that it writes on: a process that loses the lock has lost the connection, and
// cannot write any longer. The other processes stand by.
package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/metrics"
	"github.com/mailwright/mailwright/services/internal/postgres"
)

// Projection turns the messages of a stream into rows.
type Projection interface {
	// Name of the projection in checkpoints, logs and health.
	Name() string
	// Stream that it follows.
	Stream() string
	// Subjects restricts it to some of the stream's messages; none means all.
	Subjects() []string
	// Read returns the write for records, which are in the order of their stream. An
	// [*UnprojectableError] says that one of the records can never be applied; Read is then called
	// for each record alone, to find out which. Read uses no database, so that one batch is read
	// while the one before is written.
	Read(records []Record) (Write, error)
}

// Write changes rows in a transaction, in two steps. It names tables without a schema: the
// search_path of the connection decides between the live rows and those of a replay. A write may be
// made again in another transaction, so it must not change what it was made from.
type Write struct {
	// Lookup queues queries for what Apply has to know; may be nil.
	Lookup func(ctx context.Context, tx *Tx) error
	// Apply queues the changes; may be nil. The lookups have been answered.
	Apply func(ctx context.Context, tx *Tx) error
}

// InOrder returns a write that makes the given writes, one after another. All lookups come first.
func InOrder(writes ...Write) (all Write) {
	for _, w := range writes {
		all.Lookup = then(all.Lookup, w.Lookup)
		all.Apply = then(all.Apply, w.Apply)
	}
	return all
}

func then(first, second func(context.Context, *Tx) error) func(context.Context, *Tx) error {
	if first == nil {
		return second
	}
	if second == nil {
		return first
	}
	return func(ctx context.Context, tx *Tx) error {
		if err := first(ctx, tx); err != nil {
			return err
		}
		return second(ctx, tx)
	}
}

// lookUp and apply are the two steps.
func (w Write) lookUp(ctx context.Context, tx *Tx) error { return run(ctx, tx, w.Lookup) }

func (w Write) apply(ctx context.Context, tx *Tx) error { return run(ctx, tx, w.Apply) }

// careful makes the write, and reads the answers to it.
func (w Write) careful(ctx context.Context, tx *Tx) error {
	for _, step := range []func(context.Context, *Tx) error{w.Lookup, flush, w.Apply, flush} {
		if err := run(ctx, tx, step); err != nil {
			return err
		}
	}
	return nil
}

func flush(ctx context.Context, tx *Tx) error { return tx.flush(ctx) }

func run(ctx context.Context, tx *Tx, step func(context.Context, *Tx) error) error {
	if step == nil {
		return nil
	}
	return step(ctx, tx)
}

// Pruner is a projection that mirrors a stream: if a message is deleted from the stream, its rows
// are deleted too.
type Pruner interface {
	// Prune deletes the rows of messages before the sequence first, and of the sequences in
	// deleted.
	Prune(ctx context.Context, tx pgx.Tx, first int64, deleted []int64) error
}

// Delayed is a projection whose rows are overwritten by those of another stream, mostly soon. Its
// messages wait for [Tuning.Delay], so that few rows are written twice.
type Delayed interface{ Delayed() }

// Maintainer is a projection whose tables change with time, such as one that is partitioned by
// month.
type Maintainer interface {
	// Maintain changes the tables as of now. It is called when a process becomes the leader, and
	// every hour.
	Maintain(ctx context.Context, tx pgx.Tx, now time.Time) error
}

// Record is one message of a stream.
type Record struct {
	Subject  string
	Sequence int64     // position in the stream, from 1
	StoredAt time.Time // by the server's clock, UTC
	Header   nats.Header
	Data     []byte

	memo *any // the result of Memoize; nil if only one projection reads the record
}

// Memoize returns read(r). If several projections read the same record, the result is kept, and
// read is called once.
func Memoize[T any](r Record, read func(Record) T) T {
	if r.memo == nil {
		return read(r)
	}
	if result, ok := (*r.memo).(T); ok {
		return result
	}
	result := read(r)
	*r.memo = result
	return result
}

// UnprojectableError says that a record cannot be applied, now or later.
type UnprojectableError struct{ Reason string }

// Error gives the reason, which quotes nothing of the record.
func (u *UnprojectableError) Error() string { return u.Reason }

// Unprojectablef returns an [*UnprojectableError]. Its text is stored in projection_errors, so it
// must not quote the record.
func Unprojectablef(format string, args ...any) error {
	return &UnprojectableError{fmt.Sprintf(format, args...)}
}

// Tuning holds the time and size limits of a projector.
type Tuning struct {
	// Window is how long messages are collected into a batch after the first, unless there is a
	// backlog.
	Window time.Duration
	// MaxBatch is the largest number of messages in a batch.
	MaxBatch int
	// MaxBytes bounds a batch too. Three batches are held at a time: one is read, one is turned
	// into writes, and one is written.
	MaxBytes int
	// Delay is how long the messages of a [Delayed] projection wait after they were stored.
	Delay time.Duration
	// Idle is how long no message may come before connection, consumer and stream are checked. It
	// must be more than twice the heartbeat of a second.
	Idle time.Duration
	// Standby is how often a process that stands by tries to take the lock.
	Standby time.Duration
	// Halted is how often a halted projection checks whether it can go on.
	Halted time.Duration
	// Failpoints are the enabled failpoints of the guarantee suite; empty in a released program.
	Failpoints failpoint.Set
}

// DefaultTuning is the tuning of production.
var DefaultTuning = Tuning{
	Window:   100 * time.Millisecond,
	MaxBatch: 5000,
	MaxBytes: 2 << 20,
	Delay:    500 * time.Millisecond,
	Idle:     3 * time.Second,
	Standby:  time.Second,
	Halted:   10 * time.Second,
}

// Projector runs the projections of one stream. The stream is read once for all of them, and their
// rows are written in one transaction.
type Projector struct {
	projections []Projection
	pool        *pgxpool.Pool
	js          jetstream.JetStream
	log         *slog.Logger
	tuning      Tuning

	mu    sync.Mutex
	state error // the result of Ready
	// positions are those of the projections, in their order, while this process leads; else nil.
	positions []Checkpoint
}

// New returns a projector for projections that follow the same stream. The pool must allow a
// connection for each projector, and a few more.
func New(projections []Projection, pool *pgxpool.Pool, js jetstream.JetStream, log *slog.Logger, t Tuning) *Projector {
	return &Projector{
		projections: projections, pool: pool, js: js, tuning: t,
		log:   log.With("stream", projections[0].Stream()),
		state: errors.New("starting"),
	}
}

// ByStream groups projections by their stream.
func ByStream(projections []Projection) (groups [][]Projection) {
	at := map[string]int{}
	for _, p := range projections {
		i, known := at[p.Stream()]
		if !known {
			i = len(groups)
			at[p.Stream()], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], p)
	}
	return groups
}

// Names of the projections.
func (p *Projector) Names() (names []string) {
	for _, each := range p.projections {
		names = append(names, each.Name())
	}
	return names
}

func (p *Projector) stream() string { return p.projections[0].Stream() }

// Ready returns nil if the projections follow their stream, in this process or in another;
// otherwise why they do not, without names of hosts, users and databases.
func (p *Projector) Ready(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return postgres.Public(p.state)
}

func (p *Projector) setState(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = err
	_, halted := errors.AsType[*Halt](err)
	metrics.ProjectionHalted.WithLabelValues(p.stream()).Set(metrics.Bool(halted))
}

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second
)

// errStandby says that another process leads.
var errStandby = errors.New("another process leads")

// Run runs the projections until ctx ends. After restarts of NATS or Postgres it goes on from the
// last committed position.
func (p *Projector) Run(ctx context.Context) {
	pause, said := firstPause, ""
	for ctx.Err() == nil {
		moved, err := p.lead(ctx)
		if ctx.Err() != nil {
			return
		}
		if moved {
			pause, said = firstPause, ""
		}
		wait := pause
		if _, halted := errors.AsType[*Halt](err); halted {
			wait = p.tuning.Halted
			p.logOnce(&said, slog.LevelError, "the projections stopped; they need help", err)
		} else if errors.Is(err, errStandby) {
			wait, err = p.tuning.Standby, nil
			p.setPositions(nil)
		} else {
			pause = min(2*pause, maxPause)
			p.logOnce(&said, slog.LevelWarn, "the projections were interrupted; they go on from their checkpoints", err)
		}
		p.setState(err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// logOnce logs an error, unless it is the same as the one before.
func (p *Projector) logOnce(said *string, level slog.Level, message string, err error) {
	if *said != err.Error() {
		*said = err.Error()
		p.log.Log(context.Background(), level, message, "error", err)
	}
}

// lead takes the lock and follows the stream until something fails. moved is the result of follow.
func (p *Projector) lead(ctx context.Context) (moved bool, err error) {
	conn, err := p.lock(ctx)
	if err != nil {
		return false, err
	}
	defer closeConn(conn)
	stream, err := p.js.Stream(ctx, p.stream())
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", p.stream(), err)
	}
	f := &follower{
		target: target{conn, Live}, js: p.js, stream: stream, log: p.log, failpoints: p.tuning.Failpoints,
	}
	f.onCommit = func(messages int) {
		metrics.ProjectionBatchSize.WithLabelValues(p.stream()).Observe(float64(messages))
		p.setPositions(f.states)
	}
	if err := f.begin(ctx, p.projections); err != nil {
		return false, err
	}
	tuning, after := p.tuning, int64(noLimit)
	for _, s := range f.states {
		if err := s.at.Check(ctx, p.js, s, stream); err != nil {
			return false, err
		}
		after = min(after, s.at.Sequence)
		if _, delayed := s.Projection.(Delayed); delayed {
			f.delay = tuning.Delay
			tuning.Window = max(tuning.Window, tuning.Delay)
		}
	}
	f.reader, err = open(ctx, stream, subjectsOf(p.projections), after, noLimit, tuning)
	if err != nil {
		return false, err
	}
	defer f.reader.close()
	p.log.Info("following", "projections", p.Names(), "from", after)
	p.setPositions(f.states)
	p.setState(nil)
	return f.follow(ctx)
}
