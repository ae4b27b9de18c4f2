package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// versionTable stands in our own schema: in many databases nobody may write to public.
	versionTable = "mailwright.schema_version"
	// migrationLock is the advisory lock that admits one migrating process at a time.
	migrationLock = 7_294_530_118_260_411_001
)

// Migrate brings the database to the newest version that this program knows. Any number of
// processes may call it at once: one migrates, the others wait and find nothing to do. A
// database that is newer already, as during a rolling update, is left as it is.
func Migrate(ctx context.Context, databaseURL string) error {
	return migrate(ctx, databaseURL, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

// MigrateDown takes the database back to a version; 0 removes every table and view.
func MigrateDown(ctx context.Context, databaseURL string, version int64) error {
	return migrate(ctx, databaseURL, func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, version)
		return err
	})
}

// Version gives the version of the database, 0 where nothing was ever migrated, and the
// newest one that this program knows.
func Version(ctx context.Context, databaseURL string) (current, newest int64, err error) {
	db, err := open(databaseURL)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = db.Close() }()
	p, err := provider(db)
	if err != nil {
		return 0, 0, err
	}
	sources := p.ListSources()
	newest = sources[len(sources)-1].Version
	// Asking goose would create its table.
	var exists bool
	err = db.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", versionTable).Scan(&exists)
	if err == nil && exists {
		current, err = p.GetDBVersion(ctx)
	}
	if err != nil {
		return 0, newest, fmt.Errorf("migrations: read the schema's version: %w", err)
	}
	return current, newest, nil
}

func migrate(ctx context.Context, databaseURL string, run func(*goose.Provider) error) error {
	db, err := open(databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	conn, err := lock(ctx, db)
	if err != nil {
		return fmt.Errorf("migrations: wait to migrate: %w", err)
	}
	defer func() { _ = conn.Close() }() // db.Close then ends the connection, and the lock with it
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS mailwright"); err != nil {
		return fmt.Errorf("migrations: create schema mailwright: %w", err)
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	if err := run(p); err != nil {
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			return fmt.Errorf("migrations: migration %s: %w", partial.Failed.Source.Path, partial.Err)
		}
		return fmt.Errorf("migrations: migrate: %w", err)
	}
	return nil
}

// lock takes the advisory lock on a connection of its own.
func lock(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

var errMalformed = errors.New("migrations: the database URL cannot be read; " +
	"it looks like postgres://user:password@host:5432/database?sslmode=verify-full, with special characters percent-encoded")

func open(databaseURL string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errMalformed
	}
	return stdlib.OpenDB(*config), nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	p, err := goose.NewProvider(goose.DialectPostgres, db, FS,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("migrations: migrations: %w", err)
	}
	return p, nil
}
