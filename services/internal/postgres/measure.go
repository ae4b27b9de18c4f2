package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

// Measure sets the gauges of a pool's connections.
func Measure(pool *pgxpool.Pool) {
	s := pool.Stat()
	for state, n := range map[string]int32{"idle": s.IdleConns(), "in_use": s.AcquiredConns(), "max": s.MaxConns()} {
		metrics.PostgresConnections.WithLabelValues(state).Set(float64(n))
	}
}
