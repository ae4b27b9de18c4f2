package embedded

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/testkit/child"
)

// PostgresConfig configures an embedded Postgres.
type PostgresConfig struct {
	// Dir holds the data, the socket and the password. A server started on it again has all
	// that was stored, also after a kill -9. Every parent must be open to the server's user.
	Dir string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Database is created where it is missing; "" is mailwright.
	Database string
	// Volatile gives up durability for speed, for tests: a crash of the machine may lose
	// everything.
	Volatile bool
	// Settings are further settings of postgresql.conf, such as "log_statement": "all".
	Settings map[string]string
	// TLS, if set, is required of every connection.
	TLS *PostgresTLS
	// Logger logs an installation or a download; nil is slog.Default.
	Logger *slog.Logger
}

// PostgresTLS names the PEM files of a server's certificate, its key, and the authority by which
// clients check it.
type PostgresTLS struct{ Cert, Key, CA string }

// Postgres is a running server. It ends with the process that started it, also when that is
// killed (on Linux).
type Postgres struct {
	dir, database string
	port          int
	password      secret.String
	tls           *PostgresTLS
	owner         owner

	cmd    *exec.Cmd
	output *tail
	done   <-chan struct{} // closed when the server has ended
}

const (
	postgresUser = "mailwright"
	// postgresStart is how long a server may take until it answers; it recovers from a crash
	// before.
	postgresStart = 60 * time.Second
	// orphaned is the signal on which a server disconnects its clients and stops in order.
	orphaned = syscall.SIGINT
)

// StartPostgres starts a server on the loopback interface and returns when it answers. It uses
// the machine's own Postgres; see [FindPostgres] and [InstallPostgres] for where that comes from.
// A server refuses to run as root: started by root, it runs as user postgres, else nobody.
func StartPostgres(ctx context.Context, c PostgresConfig) (*Postgres, error) {
	p, err := startPostgres(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("embedded: Postgres: %w", err)
	}
	return p, nil
}

func startPostgres(ctx context.Context, c PostgresConfig) (*Postgres, error) {
	if c.Dir == "" {
		return nil, errors.New("PostgresConfig.Dir is empty")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	bin, err := binaries(ctx, dir, cmp.Or(c.Logger, slog.Default()))
	if err != nil {
		return nil, err
	}
	owner, err := serverOwner()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := owner.canReach(dir); err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir, database: cmp.Or(c.Database, "mailwright"), port: c.Port, tls: c.TLS, owner: owner}
	if err := p.initialise(ctx, bin, owner); err != nil {
		return nil, err
	}
	if err := p.start(ctx, bin, owner, c); err != nil {
		return nil, err
	}
	if err := p.createDatabase(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// initialise makes the data directory if there is none. It makes it under another name and then
// renames it, so that a data directory that exists is complete.
func (p *Postgres) initialise(ctx context.Context, bin string, owner owner) error {
	sockets := filepath.Join(p.dir, "run")
	if err := owner.mkdir(sockets); err != nil {
		return err
	}
	passwordFile := filepath.Join(p.dir, "password")
	if _, err := os.Stat(p.data()); err == nil {
		p.password, err = secret.FromFile(passwordFile)
		return err
	}
	p.password = secret.New(rand.Text())
	if err := os.WriteFile(passwordFile, []byte(p.password.Reveal()+"\n"), 0o600); err != nil {
		return err
	}
	// initdb runs as another user, who cannot read that file.
	handover := filepath.Join(sockets, "password")
	if err := os.WriteFile(handover, []byte(p.password.Reveal()+"\n"), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(handover) }()
	fresh := p.data() + ".new"
	if err := errors.Join(owner.own(handover), os.RemoveAll(fresh), owner.mkdir(fresh)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+fresh, "--username="+postgresUser,
		"--pwfile="+handover, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale")
	owner.runs(cmd)
	cmd.Dir, cmd.Env = sockets, serverEnv()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := child.Run(cmd, orphaned); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, lastLines(out.Bytes()))
	}
	return os.Rename(fresh, p.data())
}

// start runs the server and waits until it answers. A server of an earlier process may still be on
// its way out, and another process may take the port first: both are tried again.
func (p *Postgres) start(ctx context.Context, bin string, owner owner, c PostgresConfig) error {
	ctx, cancel := context.WithTimeout(ctx, postgresStart)
	defer cancel()
	for {
		if err := p.awaitPredecessor(ctx); err != nil {
			return err
		}
		if err := p.launch(bin, owner, c); err != nil {
			return err
		}
		err := p.awaitAnswer(ctx)
		if err == nil {
			return nil
		}
		retry := ctx.Err() == nil && p.output.contains("is still in use", "lock file", "ddress already in use") && (c.Port == 0 || !p.output.contains("ddress already in use"))
		if err = errors.Join(err, p.Stop()); !retry {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (p *Postgres) launch(bin string, owner owner, c PostgresConfig) error {
	p.port = c.Port
	if p.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		p.port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": filepath.Join(p.dir, "run"),
		"logging_collector":       "off",
		"jit":                     "off", // costs more than it gains on small queries, and is not always built in
	}
	if c.Volatile {
		settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"] = "off", "off", "off"
	}
	// A path for a socket may be at most 107 bytes long; clients use TCP anyway.
	if len(settings["unix_socket_directories"]) > 80 {
		settings["unix_socket_directories"] = ""
	}
	if p.tls != nil {
		if err := p.copyTLS(); err != nil {
			return err
		}
		settings["ssl"], settings["ssl_cert_file"], settings["ssl_key_file"] = "on", p.own("tls.crt"), p.own("tls.key")
		settings["hba_file"] = p.own("pg_hba.conf")
	}
	for name, value := range c.Settings {
		settings[name] = value
	}
	args := []string{"-D", p.data()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	p.output = &tail{}
	p.cmd = exec.Command(filepath.Join(bin, "postgres"), args...)
	p.cmd.Dir, p.cmd.Env = filepath.Join(p.dir, "run"), serverEnv()
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	owner.runs(p.cmd)
	var err error
	p.done, err = child.Start(p.cmd, orphaned)
	return err
}

// awaitAnswer returns when the server answers, or has ended.
func (p *Postgres) awaitAnswer(ctx context.Context) error {
	for {
		err := p.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the server ended: %s", p.output.last())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ping has a short timeout: another program on the port may accept the connection and never answer.
func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (p *Postgres) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", p.database).Scan(&exists); err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{p.database}.Sanitize())
	return err
}

// URL is the address for clients. It holds the password: keep it out of logs.
func (p *Postgres) URL() string { return p.url(p.database) }

func (p *Postgres) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresUser, p.password.Reveal()),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	if p.tls != nil {
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {p.tls.CA}}.Encode()
	}
	return u.String()
}

// own is a file that belongs to the server.
func (p *Postgres) own(name string) string { return filepath.Join(p.dir, "run", name) }

// copyTLS gives the server files of its own: it refuses a key that belongs to another user, or that
// others may read. Only TLS connections are let in.
func (p *Postgres) copyTLS() error {
	files := map[string]string{"tls.crt": p.tls.Cert, "tls.key": p.tls.Key}
	for name, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := p.give(name, text); err != nil {
			return err
		}
	}
	return p.give("pg_hba.conf", []byte("hostssl all all all scram-sha-256\n"))
}

// give replaces a file of the server.
func (p *Postgres) give(name string, text []byte) error {
	partial := p.own(name + ".partial")
	return errors.Join(os.WriteFile(partial, text, 0o600), p.owner.own(partial), os.Rename(partial, p.own(name)))
}

// RenewTLS has the server read the files of [PostgresTLS] again: new connections see its new
// certificate, those that are open stay.
func (p *Postgres) RenewTLS() error {
	if p.tls == nil {
		return errors.New("embedded: Postgres has no TLS")
	}
	if err := p.copyTLS(); err != nil {
		return fmt.Errorf("embedded: renew the certificate of Postgres: %w", err)
	}
	return p.cmd.Process.Signal(syscall.SIGHUP)
}

// Done is closed when the server has ended, for whatever reason.
func (p *Postgres) Done() <-chan struct{} { return p.done }

// PID is the process id of the server, for tests that kill it.
func (p *Postgres) PID() int { return p.cmd.Process.Pid }

// Stop ends the server: open transactions are rolled back, and the next start needs no recovery.
func (p *Postgres) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("embedded: stop Postgres: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(postgresStart):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // ends at once, and recovers at the next start
		<-p.done
		return errors.New("embedded: Postgres did not stop in time and was cut off; nothing that was committed is lost")
	}
}

// serverEnv leaves out the variables that change what the server or initdb does, such as PGDATA.
func serverEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// tail keeps the last part of what the server printed.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	t.buf = t.buf[max(0, len(t.buf)-tailSize):]
	return len(b), nil
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return lastLines(t.buf)
}

func (t *tail) contains(any ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range any {
		if bytes.Contains(t.buf, []byte(s)) {
			return true
		}
	}
	return false
}

func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
