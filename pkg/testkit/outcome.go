package testkit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
)

// DefaultTimeout bounds the waits of this package if ctx has no deadline.
const DefaultTimeout = time.Minute

// poll is the interval at which a condition is checked.
const poll = 25 * time.Millisecond

// Outcome is how an operation ended: its state, which is succeeded, failed, rejected or cancelled,
// and its last event. [Decode] returns the data of the event.
type Outcome = client.Outcome

// Decode decodes the data of an event, such as Decode[event.MailboxCreatedData](outcome.Event). The
// error is that the data are not JSON of that type.
func Decode[D any](e event.Event) (data D, err error) {
	if err := e.DataAs(&data); err != nil {
		return data, fmt.Errorf("testkit: %s: %w", e.Type(), err)
	}
	return data, nil
}

// DeadError is the error of a command that ended in the stream DEAD, with the reason.
type DeadError = client.DeadError

// AwaitOutcome waits for the outcome of a command that the test or the program under test has
// published, or will publish. Without a deadline in ctx it waits for [DefaultTimeout].
//
// Errors: *[DeadError] if the command ended in DEAD; [client.ErrNoOutcome] if the time is over,
// with the operation's last event in the text; an invalid command.
func (s *System) AwaitOutcome(ctx context.Context, c Command) (Outcome, error) {
	_, receipt, err := c.Message()
	if err != nil {
		return Outcome{}, fmt.Errorf("testkit: command %s: %w", c.ID(), err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	outcome, err := client.Await(ctx, s.JetStream, receipt)
	if errors.Is(err, client.ErrNoOutcome) {
		err = fmt.Errorf("testkit: no outcome of %s %s: %s: %w", c.Type(), c.ID(), progress(outcome.Event), err)
	}
	return outcome, err
}

func progress(heard event.Event) string {
	if heard.Type() == "" {
		return "no service has taken it up"
	}
	return fmt.Sprintf("the last event is %s %s", heard.Type(), heard.Data())
}

// Query runs an SQL query, and returns each row as a map from column to value, in the types of pgx.
// Only the views in the schema mailwright_views are stable. A row may appear a moment after the
// outcome of its operation, since the projections follow the events: see [System.AwaitRows].
func (s *System) Query(ctx context.Context, sql string, args ...any) ([]map[string]any, error) {
	rows, err := s.DB.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("testkit: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		return nil, fmt.Errorf("testkit: %w", err)
	}
	return list, nil
}

// AwaitRows repeats [System.Query] until it returns a row. Without a deadline in ctx it waits for
// [DefaultTimeout]; the error is then [context.DeadlineExceeded]. Any other error of the query ends
// the wait.
func (s *System) AwaitRows(ctx context.Context, sql string, args ...any) (rows []map[string]any, err error) {
	err = await(ctx, func(ctx context.Context) (bool, error) {
		rows, err = s.Query(ctx, sql, args...)
		return len(rows) > 0, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("testkit: no row: %s: %w", sql, err)
	}
	return rows, err
}

// bounded adds DefaultTimeout to a context without a deadline.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}

// await calls done until it returns true or an error, or the time is over.
func await(ctx context.Context, done func(context.Context) (bool, error)) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
