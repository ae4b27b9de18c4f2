package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/testkit/child"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
)

// host is what all runs share: the programs, and a Postgres server with a database for each run.
type host struct {
	*testing.B
	// bin holds our programs, tools the vendor and the floor.
	bin, tools string
	dir        string
	postgres   *embedded.Postgres
	security   *security // set while secured systems are measured
	runs       int
}

func newHost(b *testing.B) *host {
	b.Helper()
	dir, err := os.MkdirTemp("", "mw-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for Postgres, which runs as a user of its own
		b.Fatal(err)
	}
	h := &host{B: b, dir: dir, tools: build(b, "bench/vendor", "bench/floor")}
	h.bin = programs(b, append([]string{"mailwright", stack.Sandbox, stack.Console}, stack.Services...)...)
	h.postgres, err = embedded.StartPostgres(b.Context(), postgresConfig(filepath.Join(dir, "postgres")))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.postgres.Stop(); err != nil {
			b.Error(err)
		}
	})
	return h
}

func postgresConfig(dir string) embedded.PostgresConfig {
	return embedded.PostgresConfig{
		Dir: dir, Volatile: true,
		// for the time at which a row can be seen
		Settings: map[string]string{"track_commit_timestamp": "on"},
	}
}

// system is one run: NATS, the vendor, who carries commands out and who writes rows, each a process
// of its own, and a database.
type system struct {
	*testing.B
	host      *host
	dir       string
	postgres  *embedded.Postgres
	database  string
	security  *security // nil: no TLS and no permissions
	processes []*process
	vendor    string // its URL
	nc        *nats.Conn
	js        jetstream.JetStream
	db        *pgx.Conn
	published int // commands
	deadline  time.Time
}

// process is a child of ours.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended <-chan struct{}
	log   string
}

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// start brings a system up and warms it up: consumers are made, connections dialled, stacks and
// heap grown to their size. Whoever calls it must call stop.
func (h *host) start(b *testing.B, s scenario, v variant) *system {
	b.Helper()
	h.runs++
	y := &system{B: b, host: h, postgres: h.postgres, database: fmt.Sprintf("bench_%d", h.runs), dir: filepath.Join(h.dir, fmt.Sprint(h.runs))}
	if v.secured {
		y.security, y.postgres = h.security, h.security.postgres
	}
	up := false
	defer func() {
		if !up {
			y.stop()
		}
	}()
	y.deadline = time.Now().Add(startTimeout)
	for _, step := range []func(scenario, variant) error{y.startServers, y.connect, v.start(y)} {
		if err := step(s, v); err != nil {
			b.Fatal(err)
		}
	}
	y.carryOut(s, "warm-up", s.warmUp())
	up = true
	return y
}

func (y *system) startServers(s scenario, _ variant) error {
	if err := os.MkdirAll(filepath.Join(y.dir, "logs"), 0o700); err != nil {
		return err
	}
	admin, err := pgx.Connect(y.Context(), y.postgres.URL())
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(context.WithoutCancel(y.Context())) }()
	if _, err := admin.Exec(y.Context(), "CREATE DATABASE "+y.database); err != nil {
		return err
	}
	y.vendor = "http://" + y.freeAddress()
	if err := y.run("vendor", y.host.tools, nil, "--listen", strings.TrimPrefix(y.vendor, "http://"), "--latency", s.latency.String()); err != nil {
		return err
	}
	return y.await("the vendor", func() error { return stack.Answers(y.Context(), y.vendor+"/calls", "") })
}

// connect starts NATS, makes the streams as the services would, and connects to it and to Postgres.
func (y *system) connect(scenario, variant) (err error) {
	address := y.freeAddress()
	_, port, _ := net.SplitHostPort(address)
	args := []string{"server", "--port", port, "--store", filepath.Join(y.dir, "nats")}
	if err := y.run("mailwright", y.host.bin, nil, append(args, y.security.serverArgs()...)...); err != nil {
		return err
	}
	err = y.await("NATS", func() error {
		y.nc, err = nats.Connect("nats://"+address, y.security.connect()...)
		return err
	})
	if err != nil {
		return err
	}
	if err := y.security.applyStreams(y, "nats://"+address); err != nil {
		return err
	}
	if y.js, err = jetstream.New(y.nc, jetstream.WithPublishAsyncMaxPending(2000)); err != nil {
		return err
	}
	if err := topology.Ensure(y.Context(), y.js, topology.Config{}); err != nil {
		return err
	}
	y.db, err = pgx.Connect(y.Context(), y.databaseURL())
	return err
}

// databaseURL is that of this run's database.
func (y *system) databaseURL() string {
	return strings.Replace(y.postgres.URL(), "/mailwright?", "/"+y.database+"?", 1)
}

// startServices starts the service that carries the commands out and projection-svc.
func (y *system) startServices(s scenario, v variant) error {
	config, err := y.writeConfig(s)
	if err != nil {
		return err
	}
	env := []string{"MAILWRIGHT_NATS_URL=" + y.nc.ConnectedUrl(), "MAILWRIGHT_DATABASE_URL=" + y.databaseURL()}
	for _, program := range []string{"projection-svc", s.service()} {
		address := y.freeAddress()
		args := append([]string{"--config", config, "--http", address}, y.security.httpArgs()...)
		if program == s.service() {
			args = append(args, v.args...)
		}
		if err := y.run(program, y.host.bin, append(env, y.security.env(program)...), args...); err != nil {
			return err
		}
		if err := y.await(program, func() error {
			return stack.Answers(y.Context(), y.security.scheme()+"://"+address+"/readyz", y.security.ca())
		}); err != nil {
			return err
		}
	}
	return nil
}

// startFloor starts the two programs of the floor.
func (y *system) startFloor(s scenario, _ variant) error {
	if err := migrations.Migrate(y.Context(), y.databaseURL()); err != nil {
		return err
	}
	env := []string{"NATS_URL=" + y.nc.ConnectedUrl(), "DATABASE_URL=" + y.databaseURL()}
	if err := y.run("floor", y.host.tools, env, "rows"); err != nil {
		return err
	}
	return y.run("floor", y.host.tools, env, "commands", "--domain", string(s.domain()), "--vendor", y.vendor, "--workers", fmt.Sprint(s.floorWorkers()))
}

// writeConfig writes the services' configuration, and gives its path: each tenant with the vendor's
// two APIs.
func (y *system) writeConfig(s scenario) (string, error) {
	var text strings.Builder
	text.WriteString("tenants:\n")
	for _, name := range s.tenantNames() {
		fmt.Fprintf(&text, `  %s:
    adaxes: {url: %[2]s/adaxes, token: {env: BENCH_CREDENTIAL}}
    exchangeOnline: {url: %[2]s/exchange, tokenUrl: %[2]s/token, tenantId: 3f2c8a10-7d54-4c1b-9e0a-5b6d7c8e9f01, clientId: bench, clientSecret: {env: BENCH_CREDENTIAL}}
`, name, y.vendor)
	}
	path := filepath.Join(y.dir, "mailwright.yaml")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// run starts a program. It ends with this process, also where that is killed.
func (y *system) run(program, folder string, env []string, args ...string) error {
	p := &process{name: program, cmd: exec.Command(filepath.Join(folder, program), args...)}
	p.log = filepath.Join(y.dir, "logs", fmt.Sprintf("%d-%s.log", len(y.processes), program))
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	p.cmd.Env = slices.Concat(shippedEnv(), env, []string{"BENCH_CREDENTIAL=bench-credential"})
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if p.ended, err = child.Start(p.cmd, syscall.SIGKILL); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	y.processes = append(y.processes, p)
	return nil
}

// shippedEnv is our environment without what tunes the heap: each program does that for itself, as
// in production.
func shippedEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GOGC=") || strings.HasPrefix(v, "GOMEMLIMIT=")
	})
}

// freeAddress gives an address of this machine on which nobody listens.
func (y *system) freeAddress() string {
	y.Helper()
	l, err := stack.ListenFree()
	if err != nil {
		y.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}

// await asks until there is no error. It gives up at the system's deadline, or where a process has
// ended.
func (y *system) await(what string, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if ended := y.ended(); ended != nil {
			return ended
		}
		if time.Now().After(y.deadline) {
			return fmt.Errorf("waited too long for %s: %w", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ended is an error that shows the log of a process that has ended by itself, or nil.
func (y *system) ended() error {
	for _, p := range y.processes {
		select {
		case <-p.ended:
			log, _ := os.ReadFile(p.log) // what it says is all that we have
			lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
			return fmt.Errorf("%s ended: %s", p.name, bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
		default:
		}
	}
	return nil
}

// stop ends what was started, the last first, and removes what it stored.
func (y *system) stop() {
	y.Helper()
	if y.nc != nil {
		y.nc.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if y.db != nil {
		_ = y.db.Close(ctx) // the database goes next
	}
	for _, p := range slices.Backward(y.processes) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.ended:
		case <-ctx.Done():
			y.Errorf("%s did not stop and was killed", p.name)
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	}
	if admin, err := pgx.Connect(ctx, y.postgres.URL()); err == nil {
		_, _ = admin.Exec(ctx, "DROP DATABASE IF EXISTS "+y.database+" WITH (FORCE)") // the server goes in the end
		_ = admin.Close(ctx)
	}
	_ = os.RemoveAll(y.dir)
}

// Names of the parts in rows. Others are those of the programs.
const (
	partNATS     = "NATS"
	partPostgres = "Postgres"
	partCommands = "floor, commands"
	partRows     = "floor, rows"
)

// part is the name of a process in rows.
func (p *process) part() string {
	switch p.name {
	case "mailwright":
		return partNATS
	case "floor":
		return map[string]string{"commands": partCommands, "rows": partRows}[p.cmd.Args[1]]
	default:
		return p.name
	}
}

// usage gives what each part has used since it was started.
func (y *system) usage() map[string]usage {
	list := processes(y.B)
	parts := map[string]usage{partPostgres: tree(list, y.postgres.PID())}
	for _, p := range y.processes {
		parts[p.part()] = tree(list, p.cmd.Process.Pid)
	}
	return parts
}

// calls gives how many calls the vendor has answered.
func (y *system) calls() (n int) {
	y.Helper()
	res, err := http.Get(y.vendor + "/calls")
	if err != nil {
		y.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	counts := map[string]int{}
	if err := json.NewDecoder(res.Body).Decode(&counts); err != nil {
		y.Fatal(err)
	}
	for count := range maps.Values(counts) {
		n += count
	}
	return n
}
