package projector

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// lock returns a connection that holds the stream's advisory lock, or errStandby if another
// process holds it. The lock lasts as long as the connection. The server's TCP keepalives are set
// short, so that it ends the connection soon after this machine has died.
func (p *Projector) lock(ctx context.Context) (*pgx.Conn, error) {
	pooled, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	var leads bool
	err = pooled.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", "mailwright projections of "+p.stream()).Scan(&leads)
	if err != nil || !leads {
		pooled.Release()
		if err == nil {
			err = errStandby
		}
		return nil, err
	}
	conn := pooled.Hijack() // the pool must not reuse a connection that holds the lock
	_, err = conn.Exec(ctx, "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3")
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	return conn, nil
}

// closeConn closes the connection, which releases the lock.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
