package projector

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Live is the schema that holds the live rows. The views read it.
const Live = "mailwright"

// target is where rows and their position are written: a connection, and a schema of its database.
// Every transaction sets the schema as search_path, so that no statement of a projection names it.
type target struct {
	conn   *pgx.Conn
	schema string
}

// inTx runs f in a transaction that does not wait for the disk. If Postgres crashes and loses its
// last transactions, it loses rows and position together, and the messages are read again.
func (t target) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	begin := "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL search_path = " + pgx.Identifier{t.schema}.Sanitize()
	return pgx.BeginTxFunc(ctx, t.conn, pgx.TxOptions{BeginQuery: begin}, f)
}
