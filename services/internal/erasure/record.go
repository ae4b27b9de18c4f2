package erasure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/internal/postgres"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Record is what is left of an erasure: no personal data.
type Record struct {
	// Erasure numbers it in the view erasures.
	Erasure int64      `json:"erasure"`
	BeganAt time.Time  `json:"beganAt"`
	EndedAt *time.Time `json:"endedAt"`
	Person  string     `json:"person"`
	Reason  string     `json:"reason"`
	Counts
}

// unfinished are the operations of erasures that have not ended.
func (c Config) unfinished(ctx context.Context) (list []Operation, err error) {
	rows, _ := c.Pool.Query(ctx, "SELECT unnest(operations) FROM "+projector.Live+".erasures WHERE ended_at IS NULL") // CollectRows reports the error
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("erasures that have not ended: %w", err)
	}
	for _, text := range texts {
		o, err := parseOperation(text)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// begin writes down what is going to be erased. It takes the place of erasures that have not ended,
// whose counts it adds to its own: what they had found is among what was found now.
func (c Config) begin(ctx context.Context, f *Found) (Record, error) {
	r := Record{Person: c.Person, Reason: c.Reason, Counts: f.Counts()}
	operations := make([]string, len(f.Operations))
	for i, o := range f.Operations {
		operations[i] = o.String()
	}
	err := postgres.InTx(ctx, c.Pool, func(tx pgx.Tx) error {
		if err := c.refuseOthers(ctx, tx); err != nil {
			return err
		}
		var before Counts
		row := tx.QueryRow(ctx, `WITH before AS (DELETE FROM `+projector.Live+`.erasures WHERE ended_at IS NULL RETURNING *)
			SELECT coalesce(sum(commands), 0), coalesce(sum(events), 0), coalesce(sum(observations), 0), coalesce(sum(drift), 0),
				coalesce(sum(dead_letters), 0), coalesce(sum(rows), 0) FROM before`)
		if err := row.Scan(&before.Commands, &before.Events, &before.Observations, &before.Drift, &before.DeadLetters, &before.Rows); err != nil {
			return err
		}
		r.Counts = r.largest(before)
		row = tx.QueryRow(ctx, `INSERT INTO `+projector.Live+`.erasures (person, reason, operations, commands, events, observations, drift, dead_letters, rows)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING erasure, began_at`,
			r.Person, r.Reason, operations, r.Commands, r.Events, r.Observations, r.Drift, r.DeadLetters, r.Rows)
		return row.Scan(&r.Erasure, &r.BeganAt)
	})
	if err != nil {
		return r, fmt.Errorf("write down what is to be erased: %w", err)
	}
	return r, nil
}

// refuseOthers returns an error if an erasure with another reason has not ended, as when another
// person's was cut off: this one would take its place, and what is left of that person would stay.
func (c Config) refuseOthers(ctx context.Context, tx pgx.Tx) error {
	var erasure int64
	var reason string
	row := tx.QueryRow(ctx, "SELECT erasure, reason FROM "+projector.Live+".erasures WHERE ended_at IS NULL AND reason <> $1 ORDER BY erasure LIMIT 1", c.Reason)
	switch err := row.Scan(&erasure, &reason); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("erasure %d, whose reason is %q, has not ended: end it first, by the same call as before", erasure, reason)
}

// largest are the counts of an erasure that an earlier one had begun: it has found what is left.
func (c Counts) largest(before Counts) Counts {
	c.Commands = max(c.Commands, before.Commands)
	c.Events = max(c.Events, before.Events)
	c.Observations = max(c.Observations, before.Observations)
	c.Drift = max(c.Drift, before.Drift)
	c.DeadLetters = max(c.DeadLetters, before.DeadLetters)
	c.Rows = max(c.Rows, before.Rows)
	return c
}

// end records that everything was erased, and forgets the operations.
func (c Config) end(ctx context.Context, r *Record) error {
	row := c.Pool.QueryRow(ctx, "UPDATE "+projector.Live+".erasures SET ended_at = now(), operations = '{}' WHERE erasure = $1 RETURNING ended_at", r.Erasure)
	return row.Scan(&r.EndedAt)
}
