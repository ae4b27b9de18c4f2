package projector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"
)

// Replay makes the rows of projections anew, in a schema beside the live one that has the same
// tables. The projections follow the same stream, which is read once for all of them.
type Replay struct {
	Projections []Projection
	Schema      string
	Conn        *pgx.Conn
	JS          jetstream.JetStream
	Log         *slog.Logger
	Tuning      Tuning
	// Progress hears of messages that were applied.
	Progress func(messages int)

	// readUpTo is up to where the stream was read for a projection, where that is further than its
	// checkpoint: there was nothing for it in between.
	readUpTo map[string]int64
}

// Stream that the projections follow.
func (r *Replay) Stream() string { return r.Projections[0].Stream() }

// All is the limit of a replay that takes all that there is.
const All = noLimit - 1

// Pending counts the messages that wait beyond the schema's own checkpoints. Those beyond a later
// limit count too.
func (r *Replay) Pending(ctx context.Context) (uint64, error) {
	f, err := r.open(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer f.reader.close()
	return f.reader.pending, nil
}

// To applies the messages beyond the schema's own checkpoints, for each projection up to and
// including its limit, and takes out what has left the stream. The checkpoints then stand at the
// limits; where one is [All], at the last message.
func (r *Replay) To(ctx context.Context, limits map[string]int64) error {
	err := r.to(ctx, limits)
	for isTransient(err) {
		err = r.to(ctx, limits)
	}
	if err != nil {
		return fmt.Errorf("replay %s: %w", r.Stream(), err)
	}
	return nil
}

// isTransient tells whether an error is gone when it is tried again from the checkpoint: the server was
// busy, or two projections write to operations, and one of them may have had to give way.
func isTransient(err error) bool {
	const deadlockDetected = "40P01"
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, errGap) || errors.Is(err, jetstream.ErrNoHeartbeat) || (ok && refusal.Code == deadlockDetected)
}

func (r *Replay) to(ctx context.Context, limits map[string]int64) error {
	f, err := r.open(ctx, limits)
	if err != nil {
		return err
	}
	defer f.reader.close()
	if _, err = f.follow(ctx); !errors.Is(err, io.EOF) {
		return err
	}
	r.readUpTo = map[string]int64{}
	for _, m := range f.states {
		if !m.sawBeyond && m.limit != All {
			r.readUpTo[m.Name()] = f.reader.limit
		}
	}
	// What stood at a limit may be gone, or none of the projection's.
	for _, m := range f.states {
		if m.limit == All {
			m.limit = m.at.Sequence
		}
	}
	if err := f.advance(ctx, Checkpoint{Sequence: f.reader.limit}, nil); err != nil {
		return err
	}
	return f.idle(ctx)
}

func (r *Replay) open(ctx context.Context, limits map[string]int64) (*follower, error) {
	stream, err := r.JS.Stream(ctx, r.Stream())
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", r.Stream(), err)
	}
	rows := target{r.Conn, r.Schema}
	f := &follower{target: rows, js: r.JS, stream: stream, log: r.Log, onCommit: r.Progress}
	var subjects []string
	after, limit, all := int64(noLimit), int64(0), false
	for _, p := range r.Projections {
		at, err := position(ctx, rows, p, stream)
		if err != nil {
			return nil, err
		}
		f.states = append(f.states, newState(p, at, limits[p.Name()]))
		after, limit = min(after, max(at.Sequence, r.readUpTo[p.Name()])), max(limit, limits[p.Name()])
		subjects, all = append(subjects, p.Subjects()...), all || len(p.Subjects()) == 0
	}
	if all {
		subjects = nil
	}
	slices.Sort(subjects)
	f.reader, err = open(ctx, stream, slices.Compact(subjects), after, limit, r.Tuning)
	return f, err
}
