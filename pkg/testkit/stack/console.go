package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Console is the part that serves the console; see [Options.Console].
const Console = "console"

// consoleLogin is the user of Postgres by whom the console reads.
const consoleLogin = "mailwright_console"

// startConsole starts the console with a token of its own, which [Endpoints.Console] holds.
func (s *Stack) startConsole(ctx context.Context) error {
	token, err := s.keptSecret("console-token")
	if err != nil {
		return err
	}
	database, err := s.consoleDatabase(ctx)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	s.Endpoints.Console = s.url(s.scheme(), Console) + "/sign-in?token=" + token
	return s.run(ctx, &program{
		name: Console, path: filepath.Join(s.opts.Bin, Console),
		args: append([]string{"--listen", fmt.Sprintf("127.0.0.1:%d", s.ports[Console]), "--http", fmt.Sprintf("127.0.0.1:%d", s.ports[consoleHealth])},
			append(s.certArgs(Console, "--http-cert", "--http-key"), s.certArgs(Console, "--tls-cert", "--tls-key")...)...),
		env: append([]string{
			"MAILWRIGHT_TOKEN=" + token,
			"MAILWRIGHT_SERVICES=" + s.healthEndpoints(),
			"MAILWRIGHT_SERVICES_CA=" + s.Endpoints.CA,
			"MAILWRIGHT_DATABASE_URL=" + database,
			"MAILWRIGHT_NATS_URL=" + s.Endpoints.NATS,
		}, append(s.opts.Env, s.IdentityEnv(Console)...)...),
		ready: answers(s.url(s.scheme(), consoleHealth)+"/readyz", s.Endpoints.CA),
	})
}

// consoleHealth is where the console shows its health.
const consoleHealth = Console + "-health"

// healthEndpoints are the services' as a setting of the console: name=URL, apart by semicolons.
func (s *Stack) healthEndpoints() string {
	var list []string
	for name, url := range s.Endpoints.Services {
		list = append(list, name+"="+url)
	}
	slices.Sort(list)
	return strings.Join(list, ";")
}

// keptSecret is a random text that stays the same as long as the state directory does.
func (s *Stack) keptSecret(name string) (string, error) {
	path := filepath.Join(s.opts.Dir, "secrets", name)
	kept, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(kept)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	fresh := rand.Text()
	return fresh, os.WriteFile(path, []byte(fresh+"\n"), 0o600)
}

// readerLogin makes a user of Postgres a member of the role that may read the views, and makes both
// where they are missing. The first argument of format is the user, the second the password.
const readerLogin = `
DO $$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_reader') THEN CREATE ROLE mailwright_reader NOLOGIN; END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%[1]s') THEN CREATE ROLE %[1]s LOGIN IN ROLE mailwright_reader; END IF;
	ALTER ROLE %[1]s PASSWORD '%[2]s';
END $$`

// consoleDatabase is the URL by which the console reads Postgres: as a user that may read the views
// and nothing else.
func (s *Stack) consoleDatabase(ctx context.Context) (string, error) {
	password, err := s.keptSecret("console-database")
	if err != nil {
		return "", err
	}
	owner, err := url.Parse(s.Endpoints.Postgres)
	if err != nil {
		return "", errors.New("the URL of Postgres cannot be read") // the parser's own error quotes from it
	}
	conn, err := pgx.Connect(ctx, s.Endpoints.Postgres)
	if err != nil {
		return "", errors.New("Postgres does not let the console's user be made") // pgx's error may quote from the URL
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, fmt.Sprintf(readerLogin, consoleLogin, password)); err != nil {
		return "", fmt.Errorf("Postgres does not let the user %s be made: %w", consoleLogin, err)
	}
	owner.User = url.UserPassword(consoleLogin, password)
	return owner.String(), nil
}
