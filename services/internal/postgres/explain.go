package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ExplainURL words an error of pgx about a database URL. pgx's own error quotes from the URL, which
// holds a password.
func ExplainURL(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("postgres: the database URL names a file that cannot be read: %w", file)
	}
	if strings.Contains(err.Error(), "unable to add CA to cert pool") {
		return errors.New("postgres: the database URL's sslrootcert holds no certificate in PEM")
	}
	return errors.New("postgres: the database URL cannot be read; it looks like " +
		"postgres://user:password@host:5432/database?sslmode=verify-full, with special characters percent-encoded")
}

// Classes of errors (appendix A of Postgres' manual) whose messages name users or databases.
const (
	invalidAuthorization = "28"
	invalidCatalogName   = "3D"
)

// Public is an error of pgx without names of hosts, users and databases, for who asks whether a
// program is ready. Errors that are not of a connection, or of its start, are returned as they are.
func Public(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("Postgres shows a certificate that is not trusted")
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		if class := refused.Code[:2]; class == invalidAuthorization || class == invalidCatalogName {
			return fmt.Errorf("Postgres refuses the connection (SQLSTATE %s)", refused.Code)
		}
		return err
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return errors.New("Postgres cannot be reached")
	}
	return err
}

// Ready is a readiness check: an error while Postgres does not answer, without names of hosts,
// users and databases.
func Ready(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error { return Public(pool.Ping(ctx)) }
}

// WarnOfPlainText logs a warning if a pool's connections leave this machine without TLS, or by TLS
// that takes any server for the right one.
func WarnOfPlainText(pool *pgxpool.Pool, log *slog.Logger) {
	config := pool.Config().ConnConfig
	if isLocal(config.Host) || config.TLSConfig != nil && !config.TLSConfig.InsecureSkipVerify {
		return
	}
	log.Warn("Postgres is not checked to be the right server, or the connection is not encrypted: whoever can listen on the network may read the password; " +
		"put sslmode=verify-full into the database URL")
}

// isLocal reports whether a host is this machine: loopback, or the folder of a socket.
func isLocal(host string) bool {
	if strings.EqualFold(host, "localhost") || strings.HasPrefix(host, "/") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
