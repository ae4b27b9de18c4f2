package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/postgres"
)

var server *embedded.Postgres

func TestMain(m *testing.M) { os.Exit(withServer(m)) }

func withServer(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mw-pg-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		if err = os.Chmod(dir, 0o755); err == nil {
			server, err = embedded.StartPostgres(context.Background(), embedded.PostgresConfig{Dir: dir, Volatile: true})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = server.Stop() }()
	return m.Run()
}

var databases atomic.Int32

// database makes an empty database and gives its URL.
func database(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(server.URL(), "/mailwright?", "/"+name+"?", 1)
}

func pool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	p, err := postgres.Open(t.Context(), url, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func texts(t *testing.T, db *pgxpool.Pool, sql string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// structure lists every table, view, column, index and comment of ours.
const structure = `
SELECT 'column ' || table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable FROM information_schema.columns WHERE table_schema LIKE 'mailwright%'
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname LIKE 'mailwright%'
UNION ALL SELECT 'view ' || definition FROM pg_views WHERE schemaname LIKE 'mailwright%'
UNION ALL SELECT 'comment ' || description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname LIKE 'mailwright%'
UNION ALL SELECT 'grant ' || table_schema || '.' || table_name || ' ' || privilege_type || ' ' || grantee FROM information_schema.role_table_grants WHERE table_schema LIKE 'mailwright%'
ORDER BY 1`

func TestMigrateUpDownUp(t *testing.T) {
	t.Parallel()
	ctx, url := t.Context(), database(t)
	db := pool(t, url)
	current, newest, err := migrations.Version(ctx, url)
	if err != nil || current != 0 || newest == 0 {
		t.Fatalf("version %d of %d, %v", current, newest, err)
	}
	if err := migrations.Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	first := texts(t, db, structure)
	if err := migrations.Migrate(ctx, url); err != nil {
		t.Fatalf("again: %v", err)
	}
	for version := newest - 1; version >= 0; version-- {
		if err := migrations.MigrateDown(ctx, url, version); err != nil {
			t.Fatal(err)
		}
	}
	left := texts(t, db, "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname LIKE 'mailwright%' AND relkind IN ('r', 'v') AND relname <> 'schema_version'")
	if len(left) > 0 {
		t.Errorf("left after going down: %v", left)
	}
	if err := migrations.Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, texts(t, db, structure)); diff != "" {
		t.Errorf("up, down, up:\n%s", diff)
	}
	if current, newest, err := migrations.Version(ctx, url); err != nil || current != newest {
		t.Errorf("version %d of %d, %v", current, newest, err)
	}
}

func TestMigrateByManyAtOnce(t *testing.T) {
	t.Parallel()
	const replicas = 5
	url := database(t)
	errs := make(chan error, replicas)
	for range replicas {
		go func() { errs <- migrations.Migrate(t.Context(), url) }()
	}
	for range replicas {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	current, newest, err := migrations.Version(t.Context(), url)
	if err != nil || current != newest {
		t.Errorf("version %d of %d, %v", current, newest, err)
	}
}

func TestMigrateLeavesANewerDatabaseAlone(t *testing.T) {
	t.Parallel()
	url := database(t)
	if err := migrations.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db := pool(t, url)
	if _, err := db.Exec(t.Context(), "INSERT INTO mailwright.schema_version (version_id, is_applied) VALUES (99999, true)"); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Migrate(t.Context(), url); err != nil {
		t.Error(err)
	}
}

func TestReaderReadsEveryViewAndNoTable(t *testing.T) {
	t.Parallel()
	url := database(t)
	if err := migrations.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db := pool(t, url)
	const list = "SELECT schemaname || '.' || %[1]sname FROM pg_%[1]ss WHERE schemaname LIKE 'mailwright%%' ORDER BY 1"
	views, tables := texts(t, db, fmt.Sprintf(list, "view")), texts(t, db, fmt.Sprintf(list, "table"))
	if len(views) < 10 || len(tables) < 10 {
		t.Fatalf("views %v, tables %v", views, tables)
	}
	asReader := func(sql string) error {
		return postgres.InTx(t.Context(), db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE mailwright_reader"); err != nil {
				t.Fatal(err)
			}
			_, err := tx.Exec(t.Context(), sql)
			return err
		})
	}
	for _, v := range views {
		err := asReader("SELECT * FROM " + v)
		if isAudit := v == "mailwright_views.audit"; (err == nil) == isAudit { // which has a role of its own
			t.Errorf("%s: %v", v, err)
		}
		if err := asReader("DELETE FROM " + v); err == nil {
			t.Errorf("%s can be written to", v)
		}
	}
	for _, table := range tables {
		if err := asReader("SELECT FROM " + table); err == nil {
			t.Errorf("%s can be read", table)
		}
	}
}

func TestEveryViewAndColumnIsExplained(t *testing.T) {
	t.Parallel()
	url := database(t)
	if err := migrations.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	bare := texts(t, pool(t, url), `
SELECT c.relname || coalesce('.' || a.attname, '')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (SELECT 0 AS attnum, NULL AS attname UNION ALL SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) a
  LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum
 WHERE nspname = 'mailwright_views' AND coalesce(description, '') = ''`)
	if len(bare) > 0 {
		t.Errorf("without a comment: %v", bare)
	}
}

func TestNoErrorShowsThePassword(t *testing.T) {
	t.Parallel()
	const password = "hunter2%zz"
	for name, url := range map[string]string{
		"nobody there":    "postgres://u:hunter2@127.0.0.1:1/db",
		"malformed":       "postgres://u:" + password + "@127.0.0.1:1/db",
		"not a number":    "postgres://u:hunter2@127.0.0.1:port/db",
		"wrong keyword":   "host=127.0.0.1 port=1 password='hunter2",
		"wrong parameter": "postgres://u:hunter2@127.0.0.1:1/db?sslmode=perhaps",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		db, openErr := postgres.Open(ctx, url, 1)
		var waitErr error
		var log strings.Builder
		if openErr == nil {
			waitErr = postgres.Wait(ctx, db, slog.New(slog.NewTextHandler(&log, nil)))
			db.Close()
		}
		_, _, versionErr := migrations.Version(ctx, url)
		migrateErr := migrations.Migrate(ctx, url)
		cancel()
		if errors.Join(openErr, waitErr) == nil || versionErr == nil || migrateErr == nil {
			t.Errorf("%s: no error", name)
		}
		if all := fmt.Sprint(openErr, waitErr, versionErr, migrateErr, log.String()); strings.Contains(all, "hunter2") {
			t.Errorf("%s: %s", name, all)
		}
	}
}

func TestAURLsFileIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.crt")
	for text, want := range map[string]string{"": "names a file that cannot be read", "hunter2": "holds no certificate"} {
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := postgres.Open(t.Context(), "postgres://u:hunter2@127.0.0.1/db?sslmode=verify-full&sslrootcert="+file, 1)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestAPasswordIsReadAgain: a pool whose password was wrong connects once its file is right.
func TestAPasswordIsReadAgain(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(database(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	file := filepath.Join(t.TempDir(), "passfile")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("wrong")
	u.User = url.User(u.User.Username())
	u.RawQuery += "&passfile=" + url.QueryEscape(file)
	p := pool(t, u.String())
	if err := p.Ping(t.Context()); err == nil {
		t.Fatal("a wrong password is let in")
	}
	write(password)
	if err := p.Ping(t.Context()); err != nil {
		t.Errorf("with the right password in its file: %v", err)
	}
}

// TestPublicErrorsNameNothing: not the host, the user or the database.
func TestPublicErrorsNameNothing(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"a wrong password": strings.Replace(server.URL(), "mailwright:", "mailwright:not-", 1),
		"another database": strings.Replace(server.URL(), "/mailwright?", "/hunter2?", 1),
		"no server":        "postgres://hunter2@127.0.0.1:1/hunter2",
	} {
		pool, err := postgres.Open(t.Context(), address, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		err = postgres.Ready(pool)(t.Context())
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "mailwright") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWaitReturnsOnceThePostgresAnswers(t *testing.T) {
	t.Parallel()
	db := pool(t, database(t))
	if err := postgres.Wait(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := postgres.Wait(ctx, db, slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestInTxCommitsOrRollsBack(t *testing.T) {
	t.Parallel()
	db := pool(t, database(t))
	if _, err := db.Exec(t.Context(), "CREATE TABLE t (n text)"); err != nil {
		t.Fatal(err)
	}
	insert := func(n string, result error) error {
		return postgres.InTx(t.Context(), db, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO t VALUES ($1)", n)
			return errors.Join(err, result)
		})
	}
	broken := errors.New("broken")
	if err := insert("kept", nil); err != nil {
		t.Error(err)
	}
	if err := insert("dropped", broken); !errors.Is(err, broken) {
		t.Error(err)
	}
	if got := texts(t, db, "SELECT n FROM t"); !cmp.Equal(got, []string{"kept"}) {
		t.Errorf("%v", got)
	}
}
