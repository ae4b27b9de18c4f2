package projector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"
)

// Replay computes the rows of projections again, in a schema that has the same tables as the live
// one. The projections must follow the same stream, which is read once for all of them.
type Replay struct {
	Projections []Projection
	Schema      string
	Conn        *pgx.Conn
	JS          jetstream.JetStream
	Log         *slog.Logger
	Tuning      Tuning
	// Progress is called after each commit with the number of messages applied; may be nil.
	Progress func(messages int)

	// readUpTo is the sequence up to which the stream was read for a projection, if that is after
	// its checkpoint: none of the messages in between is the projection's.
	readUpTo map[string]int64
}

// Stream that the projections follow.
func (r *Replay) Stream() string { return r.Projections[0].Stream() }

// All is the limit of a replay that reads the whole stream.
const All = noLimit - 1

// Pending counts the messages after the replay schema's checkpoints, also those after the limits of
// a later call of To.
func (r *Replay) Pending(ctx context.Context) (uint64, error) {
	f, err := r.open(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer f.reader.close()
	return f.reader.pending, nil
}

// To applies the messages after the replay schema's checkpoints, for each projection up to and
// including its limit, and prunes the rows of messages that have left the stream. Then the
// checkpoints are at the limits; where the limit is [All], at the last message.
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

// isTransient reports whether To can go on from its checkpoints after the error: messages were lost
// around a reconnect, or Postgres ended one of two transactions that waited for each other, as two
// projections write to operations.
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
	for _, s := range f.states {
		if !s.sawBeyond && s.limit != All {
			r.readUpTo[s.Name()] = f.reader.limit
		}
	}
	// The message at a limit may have been deleted, or be one that the projection does not follow.
	for _, s := range f.states {
		if s.limit == All {
			s.limit = s.at.Sequence
		}
	}
	if err := f.advance(ctx, Checkpoint{Sequence: f.reader.limit}, nil); err != nil {
		return err
	}
	return f.idle(ctx)
}

// open returns a follower that reads the subjects of all projections, from the earliest position to
// the latest limit.
func (r *Replay) open(ctx context.Context, limits map[string]int64) (*follower, error) {
	stream, err := r.JS.Stream(ctx, r.Stream())
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", r.Stream(), err)
	}
	f := &follower{target: target{r.Conn, r.Schema}, js: r.JS, stream: stream, log: r.Log, onCommit: r.Progress}
	if err := f.begin(ctx, r.Projections); err != nil {
		return nil, err
	}
	after, limit := int64(noLimit), int64(0)
	for _, s := range f.states {
		s.limit = limits[s.Name()]
		after = min(after, max(s.at.Sequence, r.readUpTo[s.Name()]))
		limit = max(limit, s.limit)
	}
	f.reader, err = open(ctx, stream, subjectsOf(r.Projections), after, limit, r.Tuning)
	return f, err
}
