package projector

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Live is the schema that holds the live rows. The views read it.
const Live = "mailwright"

// target is where rows and their position are written: a connection, and a schema of its database.
// The schema is the connection's search_path, so that no statement of a projection names it.
type target struct {
	conn   *pgx.Conn
	schema string
}

// setUp sets the connection up. Its transactions do not wait for the disk: if Postgres crashes and
// loses the last ones, it loses rows and position together, and the messages are read again.
//
// Every statement of a projection finds its rows by an index. Without enable_seqscan = off, the
// planner has small tables read as a whole, by look-ups of operations and mailboxes and by the
// deletion of delegates. A prepared statement does so until its table is analyzed, however large it
// has become.
func (t target) setUp(ctx context.Context) error {
	_, err := t.conn.Exec(ctx, "SET synchronous_commit = off; SET enable_seqscan = off; SET search_path = "+pgx.Identifier{t.schema}.Sanitize())
	return err
}

func (t target) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, t.conn, f)
}
