package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

const (
	// maxBatch is the number of rows that are committed at once, at most.
	maxBatch = 5000
	// window is how long a batch gathers.
	window = 50 * time.Millisecond
)

// columns of mailwright.operations that a result fills; the others keep their defaults.
var columns = []string{
	"operation_id", "command_source", "command_id", "command_type", "domain", "key", "tenant", "fingerprint", "state", "attempts",
	"result_type", "result", "received_at", "first_event_at", "updated_at", "finished_at", "last_sequence",
}

// keepRows writes the row of each result until ctx ends.
func keepRows(ctx context.Context, js jetstream.JetStream, databaseURL string) error {
	db, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	if _, err := db.Exec(ctx, "CREATE TEMP TABLE staging (LIKE mailwright.operations INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"); err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, topology.StreamEvents, jetstream.ConsumerConfig{
		Durable: "floor-rows", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 4 * maxBatch,
	})
	if err != nil {
		return err
	}
	arrived := make(chan jetstream.Msg, maxBatch)
	consuming, err := consumer.Consume(func(m jetstream.Msg) { arrived <- m }, jetstream.PullMaxMessages(maxBatch))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	for {
		batch, err := nextBatch(ctx, arrived)
		if err != nil {
			return err
		}
		if err := writeBatch(ctx, db, batch); err != nil {
			return err
		}
		if err := batch[len(batch)-1].Ack(); err != nil {
			return err
		}
	}
}

// nextBatch waits for a message, and then for a window's others.
func nextBatch(ctx context.Context, arrived <-chan jetstream.Msg) (batch []jetstream.Msg, err error) {
	var closed <-chan time.Time
	for len(batch) < maxBatch {
		select {
		case m := <-arrived:
			if len(batch) == 0 {
				closed = time.After(window)
			}
			batch = append(batch, m)
		case <-closed:
			return batch, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return batch, nil
}

// writeBatch copies the rows and merges them.
func writeBatch(ctx context.Context, db *pgx.Conn, batch []jetstream.Msg) error {
	rows := make([][]any, len(batch))
	for i, m := range batch {
		var err error
		if rows[i], err = rowOf(m); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"staging"}, columns, pgx.CopyFromRows(rows)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, merge)
		return err
	})
}

var merge = mergeInto("mailwright.operations", "operation_id", columns)

// mergeInto is the statement that merges the rows of staging into a table.
func mergeInto(table, key string, columns []string) string {
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c + " = excluded." + c
	}
	list := strings.Join(columns, ", ")
	return "INSERT INTO " + table + " (" + list + ") SELECT " + list + " FROM staging ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

// Positions in mailwright.evt.<tenant>.<domain>.<operationid>.
const (
	domainToken    = 3
	operationToken = 4
)

// rowOf reads a result.
func rowOf(m jetstream.Msg) ([]any, error) {
	stored, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(m.Data(), &members); err != nil {
		return nil, err
	}
	var operation event.OperationData
	if err := json.Unmarshal(members["operation"], &operation); err != nil {
		return nil, err
	}
	delete(members, "operation")
	result, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	h, at := m.Headers(), stored.Timestamp.UTC()
	if h.Get("ce-state") == "" {
		return nil, errors.New("a result without a state")
	}
	return []any{
		token(m.Subject(), operationToken), h.Get("ce-commandsource"), h.Get("ce-commandid"), operation.CommandType, token(m.Subject(), domainToken),
		operation.Key, token(m.Subject(), tenantToken), operation.Fingerprint, h.Get("ce-state"), int64(operation.Attempt),
		h.Get("ce-type"), json.RawMessage(result), operation.ReceivedAt, at, at, at, int64(stored.Sequence.Stream),
	}, nil
}
