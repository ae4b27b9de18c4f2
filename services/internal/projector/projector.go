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
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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

// Write changes rows in a transaction. It names tables without a schema: the search_path of the
// transaction decides between the live rows and those of a replay.
type Write func(ctx context.Context, tx pgx.Tx) error

// InOrder returns a write that makes the given writes, one after another.
func InOrder(writes ...Write) Write {
	return func(ctx context.Context, tx pgx.Tx) error {
		for _, w := range writes {
			if err := w(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	}
}

// Pruner is a projection that mirrors a stream: if a message is deleted from the stream, its rows
// are deleted too.
type Pruner interface {
	// Prune deletes the rows of messages before the sequence first, and of the sequences in
	// deleted.
	Prune(ctx context.Context, tx pgx.Tx, first int64, deleted []int64) error
}

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
	Window:   50 * time.Millisecond,
	MaxBatch: 5000,
	Idle:     3 * time.Second,
	Standby:  time.Second,
	Halted:   10 * time.Second,
}

// Projector runs one projection.
type Projector struct {
	projection Projection
	pool       *pgxpool.Pool
	js         jetstream.JetStream
	log        *slog.Logger
	tuning     Tuning

	mu    sync.Mutex
	state error // the result of Ready
}

// New returns a projector. The pool must allow a connection for each projector, and a few more.
func New(p Projection, pool *pgxpool.Pool, js jetstream.JetStream, log *slog.Logger, t Tuning) *Projector {
	return &Projector{
		projection: p, pool: pool, js: js, tuning: t,
		log:   log.With("projection", p.Name(), "stream", p.Stream()),
		state: errors.New("starting"),
	}
}

// Name of the projection.
func (p *Projector) Name() string { return p.projection.Name() }

// Ready returns nil if the projection follows its stream, in this process or in another; otherwise
// why it does not.
func (p *Projector) Ready(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *Projector) setState(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = err
}

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second
)

// errStandby says that another process leads.
var errStandby = errors.New("another process leads")

// Run runs the projection until ctx ends. After restarts of NATS or Postgres it goes on from the
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
			p.logOnce(&said, slog.LevelError, "the projection stopped; it needs help", err)
		} else if errors.Is(err, errStandby) {
			wait, err = p.tuning.Standby, nil
		} else {
			pause = min(2*pause, maxPause)
			p.logOnce(&said, slog.LevelWarn, "the projection was interrupted; it goes on from its checkpoint", err)
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
	stream, err := p.js.Stream(ctx, p.projection.Stream())
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", p.projection.Stream(), err)
	}
	rows := target{conn, Live}
	at, err := position(ctx, rows, p.projection, stream)
	if err == nil {
		err = at.Check(ctx, p.js, p.projection, stream)
	}
	if err != nil {
		return false, err
	}
	r, err := open(ctx, stream, p.projection.Subjects(), at.Sequence, noLimit, p.tuning)
	if err != nil {
		return false, err
	}
	defer r.close()
	p.log.Info("following", "from", at.Sequence)
	p.setState(nil)
	f := &follower{
		target: rows, states: []*projectionState{newState(p.projection, at, noLimit)},
		js: p.js, stream: stream, reader: r, log: p.log, failpoints: p.tuning.Failpoints,
	}
	return f.follow(ctx)
}
