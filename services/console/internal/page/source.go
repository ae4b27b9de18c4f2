package page

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Source is where pages read from, and act by.
type Source struct {
	// DB reads the views of schema mailwright_views, which is the search path, and nothing else.
	DB *pgxpool.Pool
	// NATS and JS act as the user console.
	NATS *nats.Conn
	JS   jetstream.JetStream
	Log  *slog.Logger
}

// Rows reads rows into structs, by the order of their fields. Queries name views without a schema.
func Rows[T any](ctx context.Context, s Source, sql string, args ...any) ([]T, error) {
	rows, err := s.DB.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// Row reads one row as [Rows] does. Its error is pgx.ErrNoRows if there is none.
func Row[T any](ctx context.Context, s Source, sql string, args ...any) (T, error) {
	rows, err := s.DB.Query(ctx, sql, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[T])
}
