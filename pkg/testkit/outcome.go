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

// DefaultTimeout bounds a wait whose context has no deadline.
const DefaultTimeout = time.Minute

// poll is how often something awaited is looked for.
const poll = 25 * time.Millisecond

// Outcome is how a command ended: succeeded, failed, rejected or cancelled, and the event that says
// what was done, or why not. [Decode] gives its data.
type Outcome = client.Outcome

// Decode gives an event's data as its type, such as [event.MailboxCreatedData].
func Decode[D any](e event.Event) (data D, err error) {
	if err := e.DataAs(&data); err != nil {
		return data, fmt.Errorf("testkit: %s: %w", e.Type(), err)
	}
	return data, nil
}

// DeadError says that a command was given up: it stands in DEAD.
type DeadError = client.DeadError

// AwaitOutcome waits until a command, published by the test or by the program under test, has its
// outcome. A command that was given up is a *[DeadError]. Without a deadline in ctx it waits for
// [DefaultTimeout]; the error then says how far the operation came.
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

// Query reads rows of the database, each as a map by column. The projections follow the events, so
// a row may appear a moment after its operation's outcome: see [System.AwaitRows]. The schema
// mailwright_views is the stable surface.
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

// AwaitRows is [System.Query], repeated until there is a row.
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

// bounded gives a context without a deadline one.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}

// await repeats a look until it is done, fails, or time is up.
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
