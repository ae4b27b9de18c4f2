package projector

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// lock gives a connection that holds the projection's lock, or errStandby. The lock lasts as long
// as the connection, so the server is told to notice soon when our machine is gone.
func (p *Projector) lock(ctx context.Context) (*pgx.Conn, error) {
	pooled, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	var leads bool
	err = pooled.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", "mailwright projection "+p.Name()).Scan(&leads)
	if err != nil || !leads {
		pooled.Release()
		if err == nil {
			err = errStandby
		}
		return nil, err
	}
	conn := pooled.Hijack() // must not go back to the pool with the lock
	_, err = conn.Exec(ctx, "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3")
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	return conn, nil
}

// closeConn ends the connection, and the lock with it.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
