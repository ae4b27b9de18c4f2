package projector

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Live is the schema whose rows the views show.
const Live = "mailwright"

// target is where rows and their position are written: a connection, and a schema of its database.
// Neither the projections nor we name the schema anywhere else.
type target struct {
	conn   *pgx.Conn
	schema string
}

// inTx runs f in a transaction. It does not wait for the disk: should the server lose the last of
// them, it loses rows and position together, and they are read from the stream again.
func (p target) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	begin := "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL search_path = " + pgx.Identifier{p.schema}.Sanitize()
	return pgx.BeginTxFunc(ctx, p.conn, pgx.TxOptions{BeginQuery: begin}, f)
}
