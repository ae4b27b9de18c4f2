package projector

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mailwright/mailwright/services/internal/postgres"
)

// Tx is a transaction that writes rows. Its statements are prepared once a connection. They are
// queued and sent together, so that a batch takes few round trips however many tables it changes.
type Tx struct {
	conn *pgx.Conn
	// careful is the transaction in which each part of a batch has a savepoint; nil at the first
	// attempt, which has none.
	careful pgx.Tx
	batch   pgconn.Batch
	// results read the answers to the queued statements.
	results []func(*pgconn.ResultReader) error
}

// Encoded is an argument of a statement in Postgres' binary format.
type Encoded []byte

// errCareful says that a write needs a savepoint, which only the second attempt has.
var errCareful = errors.New("a savepoint is needed")

// Exec queues a statement. Its error is that of preparing it; the answer's comes later.
func (t *Tx) Exec(ctx context.Context, sql string, args ...any) error {
	return t.queue(ctx, sql, args, func(r *pgconn.ResultReader) error {
		_, err := r.Close()
		return err
	})
}

// Query queues a query. read is called with the rows after all lookups of the batch are queued.
func (t *Tx) Query(ctx context.Context, sql string, read func(pgx.Rows) error, args ...any) error {
	return t.queue(ctx, sql, args, func(r *pgconn.ResultReader) error {
		return read(pgx.RowsFromResultReader(t.conn.TypeMap(), r))
	})
}

// Copy runs the statements in before, and a COPY from data in its binary format. It does so at
// once: what was queued is sent first.
func (t *Tx) Copy(ctx context.Context, before, sql string, data []byte) error {
	if err := t.flush(ctx); err != nil {
		return err
	}
	if _, err := t.conn.PgConn().Exec(ctx, before).ReadAll(); err != nil {
		return err
	}
	_, err := t.conn.PgConn().CopyFrom(ctx, bytes.NewReader(data), sql)
	return err
}

// Nested runs do in a transaction within this one. What was queued before is sent first. The first
// attempt fails, and the batch is written again with savepoints.
func (t *Tx) Nested(ctx context.Context, do func(pgx.Tx) error) error {
	if t.careful == nil {
		return errCareful
	}
	if err := t.flush(ctx); err != nil {
		return err
	}
	return postgres.InTx(ctx, t.careful, do)
}

func (t *Tx) queue(ctx context.Context, sql string, args []any, read func(*pgconn.ResultReader) error) error {
	statement, err := t.conn.Prepare(ctx, sql, sql)
	if err != nil {
		return err
	}
	if len(args) != len(statement.ParamOIDs) {
		return fmt.Errorf("%d arguments for %d parameters", len(args), len(statement.ParamOIDs))
	}
	values := make([][]byte, len(args))
	for i, arg := range args {
		if encoded, ok := arg.(Encoded); ok {
			values[i] = encoded
		} else if values[i], err = t.conn.TypeMap().Encode(statement.ParamOIDs[i], pgx.BinaryFormatCode, arg, nil); err != nil {
			return err
		}
	}
	binary := []int16{pgx.BinaryFormatCode} // for all of them
	t.batch.ExecPrepared(statement.Name, values, binary, binary)
	t.results = append(t.results, read)
	return nil
}

// flush sends what is queued, and reads the answers.
func (t *Tx) flush(ctx context.Context) (err error) {
	if len(t.results) == 0 {
		return nil
	}
	answers := t.conn.PgConn().ExecBatch(ctx, &t.batch)
	for _, read := range t.results {
		if !answers.NextResult() {
			break // the error is that of Close
		}
		if e := read(answers.ResultReader()); err == nil {
			err = e
		}
	}
	t.batch, t.results = pgconn.Batch{}, nil
	if e := answers.Close(); e != nil {
		return e
	}
	return err
}
