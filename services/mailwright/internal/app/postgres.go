package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mailwright/mailwright/services/internal/postgres"
)

// Postgres connects to the projections. Its errors are fit to be shown; they quote no credentials.
func (a *App) Postgres(ctx context.Context) (*pgx.Conn, error) {
	e, err := a.Endpoints()
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(e.Postgres)
	if err != nil {
		return nil, postgres.ExplainURL(err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("Postgres at %s:%d: %w; --database-url says where else it is",
			config.Host, config.Port, ExplainPostgres(err))
	}
	return conn, nil
}

// Error codes of Postgres (appendix A of its manual).
const (
	undefinedTable    = "42P01"
	invalidSchemaName = "3F000"
)

// ExplainPostgres words an error of pgx in one line.
func ExplainPostgres(err error) error {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		if refused.Code == undefinedTable || refused.Code == invalidSchemaName {
			return errors.New("no projections yet: projection-svc makes their tables when it first starts")
		}
		return errors.New(refused.Message)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("shows a certificate that is not trusted; name its authority by sslrootcert in the URL")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return errors.New("does not answer")
}
