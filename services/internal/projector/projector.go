// Package projector keeps projections: it reads a stream in order and has a [Projection] turn its
// messages into rows. Rows and the position in the stream commit in one transaction, so that the
// rows equal at any moment what replaying the stream up to that position gives.
//
// The position in Postgres is the truth; the server's consumer is thrown away and made again from
// it after any trouble. One process leads a projection, by a Postgres advisory lock held on the
// very connection that it writes on: who loses the lock has lost the ability to write as well. The
// others stand by.
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
	// Read works out what the records, in the order of their stream, change. An [*Unfit] says that
	// a record can never be applied; records are then read one by one, to find which. It knows no
	// database, so that one batch is read while the one before is written.
	Read(records []Record) (Write, error)
}

// Write writes a change. Tables are named without a schema: the transaction's search_path decides
// whether the live rows or a replay's are meant.
type Write func(ctx context.Context, tx pgx.Tx) error

// InOrder joins writes to one.
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

// Pruner is a projection that mirrors a stream: what is deleted there leaves the rows too.
type Pruner interface {
	// Prune removes the rows of messages before first, and of those in deleted.
	Prune(ctx context.Context, tx pgx.Tx, first int64, deleted []int64) error
}

// Maintainer is a projection whose tables must be changed as time passes, such as one partitioned
// by month.
type Maintainer interface {
	// Maintain does that. It is called when a process becomes the leader, and every hour.
	Maintain(ctx context.Context, tx pgx.Tx, now time.Time) error
}

// Record is one message of a stream.
type Record struct {
	Subject  string
	Sequence int64     // position in the stream, from 1
	StoredAt time.Time // by the server's clock, UTC
	Header   nats.Header
	Data     []byte

	memo *any // what was read of it, where several projections do; nil: nothing is kept
}

// Memoize gives what read gives, which is kept where several projections read the same record.
func Memoize[T any](r Record, read func(Record) T) T {
	if r.memo == nil {
		return read(r)
	}
	if kept, ok := (*r.memo).(T); ok {
		return kept
	}
	result := read(r)
	*r.memo = result
	return result
}

// UnprojectableError says that a record cannot be applied, now or later.
type UnprojectableError struct{ Reason string }

// Error gives the reason, which quotes nothing of the record.
func (u *UnprojectableError) Error() string { return u.Reason }

// Unprojectablef makes an Unfit. Its text stands in a table: it must not quote the record.
func Unprojectablef(format string, args ...any) error {
	return &UnprojectableError{fmt.Sprintf(format, args...)}
}

// Tuning is how a projector paces itself.
type Tuning struct {
	// Window is how long a batch gathers after its first message, unless more of them wait already.
	Window time.Duration
	// MaxBatch is the number of messages that ends a batch early.
	MaxBatch int
	// Idle is how long nothing may come until position, consumer and stream are looked at. It must
	// exceed twice the heartbeat.
	Idle time.Duration
	// Standby is how often a process that does not lead asks whether it may.
	Standby time.Duration
	// Halted is how often a projection that stopped looks whether somebody has helped it.
	Halted time.Duration
	// Failpoints are those of the guarantee suite; none in a released program.
	Failpoints failpoint.Set
}

// DefaultTuning suits production.
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
	state error // nil: leads or stands by
}

// New returns a projector. The pool must allow one connection for each, and some more.
func New(p Projection, pool *pgxpool.Pool, js jetstream.JetStream, log *slog.Logger, t Tuning) *Projector {
	return &Projector{
		projection: p, pool: pool, js: js, tuning: t,
		log:   log.With("projection", p.Name(), "stream", p.Stream()),
		state: errors.New("starting"),
	}
}

// Name of the projection.
func (p *Projector) Name() string { return p.projection.Name() }

// Ready returns nil while the projection follows its stream, here or in another process, else what
// is in the way.
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

// errStandby: another process leads.
var errStandby = errors.New("another process leads")

// Run keeps the projection until ctx ends. It outlives restarts of NATS and of Postgres: it goes
// matches from the position that was committed.
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

// logOnce logs an error once, not at every attempt.
func (p *Projector) logOnce(said *string, level slog.Level, message string, err error) {
	if *said != err.Error() {
		*said = err.Error()
		p.log.Log(context.Background(), level, message, "error", err)
	}
}

// lead takes the lock and follows the stream until something fails; moved tells whether it got
// anywhere meanwhile.
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
	f := &follower{target: rows, states: []*projectionState{newState(p.projection, at, noLimit)}, js: p.js, stream: stream, reader: r, log: p.log, failpoints: p.tuning.Failpoints}
	return f.follow(ctx)
}
