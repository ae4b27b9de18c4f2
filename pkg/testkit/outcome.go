package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// Patience bounds a wait whose context has no deadline.
const Patience = time.Minute

// poll is how often something awaited is looked for.
const poll = 25 * time.Millisecond

// Outcome is how a command ended.
type Outcome struct {
	// State is succeeded, failed or rejected.
	State event.State
	// Event says what was done, or why not. [Decode] gives its data.
	Event event.Event
}

// String says the outcome in a line, for a test's message.
func (o Outcome) String() string {
	return fmt.Sprintf("%s: %s %s", o.State, o.Event.Type(), o.Event.Data())
}

// Decode gives an event's data as its type, such as [event.MailboxCreatedData].
func Decode[D any](e event.Event) (data D, err error) {
	if err := e.DataAs(&data); err != nil {
		return data, fmt.Errorf("testkit: %s: %w", e.Type(), err)
	}
	return data, nil
}

// DeadError says that a command was given up: it stands in DEAD.
type DeadError struct {
	// Reason is one of a closed list, such as idempotency-conflict; Detail says more.
	Reason, Detail string
}

// Error implements error.
func (e *DeadError) Error() string { return "testkit: given up: " + e.Reason + ": " + e.Detail }

// AwaitOutcome waits until a command succeeded, failed or was rejected. A command that was given up is a [DeadError]. Without
// a deadline in ctx it waits for [Patience]; the error then says how far the operation came.
func (s *System) AwaitOutcome(ctx context.Context, c Command) (Outcome, error) {
	domain, operation := c.Domain(), c.OperationID()
	var heard event.Event
	var outcome Outcome
	err := await(ctx, func(ctx context.Context) (bool, error) {
		dead, err := s.last(ctx, bus.Dead, bus.DeadSubject(domain, operation))
		if err != nil {
			return false, err
		}
		if dead != nil {
			letter := &DeadError{}
			_ = json.Unmarshal(dead.Data, letter) // unreadable: without a reason
			return false, letter
		}
		m, err := s.last(ctx, bus.Events, bus.EventSubject(domain, operation))
		if m == nil || err != nil {
			return false, err
		}
		if heard, err = event.Decode(m.Header, m.Data); err != nil {
			return false, err
		}
		state, _ := event.StateOf(heard)
		outcome = Outcome{State: state, Event: heard}
		return state.Terminal(), nil
	})
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Outcome{}, fmt.Errorf("testkit: no outcome of %s %s: %s: %w", c.Type(), c.ID(), progress(heard), err)
	}
	return outcome, err
}

func progress(heard event.Event) string {
	if heard.Type() == "" {
		return "no service has taken it up"
	}
	return fmt.Sprintf("the last event is %s %s", heard.Type(), heard.Data())
}

// last gives the last message on a subject; nil where there is none, or where NATS does not answer now.
func (s *System) last(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	st, err := s.JetStream.Stream(ctx, stream)
	if err != nil {
		return nil, passing(err, jetstream.ErrStreamNotFound)
	}
	m, err := st.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return nil, passing(err)
	}
	return m, nil
}

// passing hides every error but those that waiting does not mend.
func passing(err error, lasting ...error) error {
	for _, l := range lasting {
		if errors.Is(err, l) {
			return err
		}
	}
	return nil
}

// Query reads rows of the database, each as a map by column. The projections follow the events, so a row may appear a
// moment after its operation's outcome: see [System.AwaitRows]. The schema mailwright_views is the stable surface.
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

// await repeats a look until it is done, fails, or time is up.
func await(ctx context.Context, done func(context.Context) (bool, error)) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, Patience)
		defer cancel()
	}
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
