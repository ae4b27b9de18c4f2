package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/testkit/embedded"
)

// dirEnv turns the test binary into a process that starts a server and then hangs: a victim.
const dirEnv = "MAILWRIGHT_TEST_POSTGRES_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirEnv); dir != "" {
		p, err := embedded.StartPostgres(context.Background(), embedded.PostgresConfig{Dir: dir})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
		select {}
	}
	os.Exit(m.Run())
}

func TestPostgresKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	dir := postgresDir(t)
	ends := map[string]func(*embedded.Postgres) error{
		"stop": (*embedded.Postgres).Stop,
		"kill": func(p *embedded.Postgres) error {
			err := syscall.Kill(p.PID(), syscall.SIGKILL)
			<-p.Done()
			return err
		},
	}
	want := 0
	for _, end := range []string{"stop", "kill", "stop"} {
		p := startPostgres(t, dir)
		conn := connect(t, p.URL())
		exec1(t, conn, "CREATE TABLE IF NOT EXISTS t (n int)")
		var got int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&got); err != nil || got != want {
			t.Fatalf("%d rows, %v; want %d", got, err, want)
		}
		exec1(t, conn, "INSERT INTO t VALUES (1)")
		want++
		if err := ends[end](p); err != nil {
			t.Fatalf("%s: %v", end, err)
		}
	}
}

func TestPostgresIsShutToOthers(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, postgresDir(t))
	t.Cleanup(func() { _ = p.Stop() })
	config, err := pgx.ParseConfig(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "127.0.0.1" || config.Password == "" {
		t.Errorf("host %s, password of %d bytes", config.Host, len(config.Password))
	}
	config.Password = "wrong"
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a wrong password is let in")
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, _, _ := net.ParseCIDR(a.String())
		if ip == nil || ip.IsLoopback() {
			continue
		}
		if conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), strconv.Itoa(int(config.Port))), time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("listens on %s", ip)
		}
	}
}

func TestPostgresEndsWithItsParentAndStartsAgain(t *testing.T) {
	t.Parallel()
	dir := postgresDir(t)
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), dirEnv+"="+dir)
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	// At once, while the old server may still be on its way out.
	p := startPostgres(t, dir)
	t.Cleanup(func() { _ = p.Stop() })
	exec1(t, connect(t, p.URL()), "SELECT 1")
	// It may be a zombie for want of a parent that waits; a zombie has no working directory.
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
		t.Errorf("the first server still runs in %s", cwd)
	}
}

func TestPostgresSaysWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	t.Run("port in use", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		wantError(t, embedded.PostgresConfig{Dir: postgresDir(t), Port: l.Addr().(*net.TCPAddr).Port}, "ddress already in use")
	})
	t.Run("data of another version", func(t *testing.T) {
		t.Parallel()
		dir := postgresDir(t)
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantError(t, embedded.PostgresConfig{Dir: dir}, "are of Postgres 9")
	})
	t.Run("a parent that the server's user cannot enter", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("only root's server runs as another user")
		}
		closed := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		wantError(t, embedded.PostgresConfig{Dir: filepath.Join(closed, "postgres")}, "chmod o+x "+closed)
	})
	t.Run("another server on the directory", func(t *testing.T) {
		t.Parallel()
		dir := postgresDir(t)
		p := startPostgres(t, dir)
		t.Cleanup(func() { _ = p.Stop() })
		wantError(t, embedded.PostgresConfig{Dir: dir}, "another server")
	})
}

func wantError(t *testing.T, c embedded.PostgresConfig, part string) {
	t.Helper()
	p, err := embedded.StartPostgres(t.Context(), c)
	if err == nil {
		_ = p.Stop()
		t.Fatalf("started; want an error with %q", part)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("%v; want %q in it", err, part)
	}
}

// postgresDir is under a name short enough for a socket, open to the server's user.
func postgresDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mw-pg-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func startPostgres(t *testing.T, dir string) *embedded.Postgres {
	t.Helper()
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresConfig{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
