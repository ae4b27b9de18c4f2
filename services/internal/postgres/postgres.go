// Package postgres opens pools, runs transactions and applies the migrations. Its errors
// never carry the URL, which holds a password.
package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// applicationName is what pg_stat_activity shows where the URL names nothing else.
const applicationName = "mailwright"

// Open returns a pool for a URL (postgres://user:password@host:port/database?…) or a keyword
// string, with at least minPool connections allowed. It does not connect: see [Wait].
//
// pgx's own settings may stand in the URL (pool_max_conns, default_query_exec_mode=exec for a
// pooler that does not keep sessions, …). Where they do not, a statement is prepared once a
// connection, a connection is tried for at most 10 s and replaced after an hour.
//
// Each new connection reads the files anew that the URL names: sslrootcert, sslcert, sslkey,
// passfile.
func Open(ctx context.Context, databaseURL string, minPool int) (*pgxpool.Pool, error) {
	return open(ctx, databaseURL, minPool, nil)
}

// Reader is the role that may read the views of schema mailwright_views, and nothing else.
const Reader = "mailwright_reader"

// queryTimeout bounds a query of [OpenReader], in milliseconds.
const queryTimeout = "10000"

// OpenReader returns a pool as [Open] does, whose sessions act as the role [Reader], read only and
// find the views without a schema. The URL's user must be a member of that role.
func OpenReader(ctx context.Context, databaseURL string, minPool int) (*pgxpool.Pool, error) {
	return open(ctx, databaseURL, minPool, map[string]string{
		"role": Reader, "default_transaction_read_only": "on", "search_path": "mailwright_views", "statement_timeout": queryTimeout,
	})
}

// open opens a pool whose sessions have further parameters, as SET takes them.
func open(ctx context.Context, databaseURL string, minPool int, parameters map[string]string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, ExplainURL(err)
	}
	maps.Copy(config.ConnConfig.RuntimeParams, parameters)
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error { return readFiles(databaseURL, c) }
	config.MaxConns = max(config.MaxConns, int32(minPool))
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if _, named := config.ConnConfig.RuntimeParams["application_name"]; !named {
		config.ConnConfig.RuntimeParams["application_name"] = applicationName
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return pool, nil
}

// readFiles gives a new connection the certificates and the password that the URL's files hold now.
func readFiles(databaseURL string, c *pgx.ConnConfig) error {
	now, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return ExplainURL(err)
	}
	c.Password, c.TLSConfig, c.Fallbacks = now.Password, now.TLSConfig, now.Fallbacks
	return nil
}

// remindEvery is how often the log repeats that Postgres does not answer.
const remindEvery = 10 * time.Second

// Wait returns when Postgres answers a query, or when ctx ends. Meanwhile the log says every
// [remindEvery] what is wrong.
func Wait(ctx context.Context, pool *pgxpool.Pool, logger *slog.Logger) error {
	var reminded time.Time
	for {
		err := ping(ctx, pool)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("postgres: does not answer: %w", err)
		}
		if time.Since(reminded) >= remindEvery {
			reminded = time.Now()
			logger.Warn("waiting for Postgres", "error", err)
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func ping(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return pool.Ping(ctx)
}

// Beginner is a pool, a connection, or a transaction (which then nests by a savepoint).
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// InTx runs f in a transaction: committed where f returns nil, else rolled back.
func InTx(ctx context.Context, db Beginner, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db, f)
}
