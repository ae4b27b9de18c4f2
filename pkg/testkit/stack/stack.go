// Package stack runs the whole of Mailwright on one machine as a tree of processes: NATS, Postgres,
// the sandbox and the five services. `mailwright dev` is this package with a command line; the
// end-to-end suites kill and restart its parts.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
)

// Names of the parts.
const (
	NATS     = "nats"
	Postgres = "postgres"
	Sandbox  = "sandbox"
)

// sandboxLDAP is where the sandbox shows its directories over LDAP.
const sandboxLDAP = Sandbox + "-ldap"

// Services lists the programs that carry commands out and project events.
var Services = []string{"directory-svc", "mailbox-svc", "delegation-svc", "inventory-svc", "projection-svc"}

// Options say where and how. The zero value of each but Dir takes the default.
type Options struct {
	// Dir keeps the state: databases, streams, logs, secrets, endpoints.json. A stack
	// started on it again goes on where the last one stopped.
	Dir string
	// Bin holds the programs; default is where this program itself is.
	Bin string
	// Log hears of starts, ends and restarts.
	Log *slog.Logger
	// Volatile gives up durability against a crash of the machine, for tests.
	Volatile bool
	// NATS and Postgres are URLs of servers that run already; "" starts one.
	NATS, Postgres string
	// NATSInProcess runs NATS within this process rather than as a program, which needs no folder
	// of programs.
	NATSInProcess bool
	// Permissions has NATS keep each program to what 'mailwright nats permissions' allows it. Who
	// connects without credentials may do everything. It has no effect on a server that runs
	// already, nor with NATSInProcess.
	Permissions bool
	// TLS has NATS, Postgres, the sandbox and the services speak TLS alone, by certificates of an
	// authority of the stack's own. It has no effect on servers that run already.
	TLS bool
	// NoSandbox leaves the sandbox out.
	NoSandbox bool
	// Tenants are configured beside [SandboxTenant], against the same vendors.
	Tenants []string
	// Identities, if set, are age identities, one a line: the tenants take sealed secrets alone,
	// which these open. They stand in the file [IdentitiesFile] of Dir.
	Identities string
	// Console runs the console beside the services.
	Console bool
	// Services to run; nil is all.
	Services []string
	// Before, if set, is called when NATS, Postgres and sandbox are ready, before the services
	// start.
	Before func(context.Context, Endpoints) error
	// Env is added to the services' environment, such as MAILWRIGHT_LOG_LEVEL=debug; SandboxEnv to
	// the sandbox's.
	Env, SandboxEnv []string
	// EnvOf, if set, is added to the environment of one service, by its name.
	EnvOf func(service string) []string
}

// Stack is a running system.
type Stack struct {
	Endpoints Endpoints

	opts     Options
	ports    map[string]int
	mu       sync.Mutex
	programs map[string]*program
	order    []string
	nats     *embedded.NATS
	postgres *embedded.Postgres
}

// Start brings everything up in order and returns when every part is ready. On an error it leaves
// nothing running.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	s, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func prepare(opts Options) (*Stack, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Services == nil {
		opts.Services = Services
	}
	if opts.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		opts.Bin = filepath.Dir(self)
	}
	for _, name := range opts.programs() {
		if _, err := exec.LookPath(filepath.Join(opts.Bin, name)); err != nil {
			return nil, fmt.Errorf("the program %s is not in %s: run 'make build', or say with --bin where it is", name, opts.Bin)
		}
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	opts.Dir = dir
	// Postgres drops root, and its user must be able to reach its folder below this one.
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
		return nil, err
	}
	s := &Stack{opts: opts, ports: map[string]int{}, programs: map[string]*program{}}
	s.opts.Permissions = opts.Permissions && opts.NATS == "" && !opts.NATSInProcess
	return s, s.choosePorts()
}

// programs lists what must be in Bin.
func (o Options) programs() []string {
	names := slices.Clone(o.Services)
	if o.NATS == "" && !o.NATSInProcess {
		names = append(names, "mailwright")
	}
	if !o.NoSandbox {
		names = append(names, Sandbox)
	}
	if o.Console {
		names = append(names, Console)
	}
	return names
}

// choosePorts takes a free port for each part. It is chosen before the part starts, so that a part
// that is killed comes back where the others look for it.
func (s *Stack) choosePorts() error {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, name := range slices.Concat([]string{NATS, Postgres, Sandbox, sandboxLDAP, Console, consoleHealth}, s.opts.Services) {
		l, err := ListenFree()
		if err != nil {
			return err
		}
		held = append(held, l)
		s.ports[name] = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

const (
	// minPort and maxPort bound the ports of parts. They lie below those that Linux gives to
	// clients (from 32768): a connection of anyone could take such a port before its part starts.
	minPort, maxPort = 20000, 30000
	// portTries is how many of them are tried.
	portTries = 100
)

// ListenFree listens on a free port of the loopback interface, for a part that is started later.
// Close the listener before. The error is that of the last port tried.
func ListenFree() (l net.Listener, err error) {
	for range portTries {
		port := minPort + rand.IntN(maxPort-minPort)
		if l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			return l, nil
		}
	}
	return nil, err
}

func (s *Stack) url(scheme, name string) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, s.ports[name])
}

func (s *Stack) start(ctx context.Context) error {
	s.Endpoints = Endpoints{NATS: s.url("nats", NATS), Services: map[string]string{}}
	if s.opts.TLS {
		if err := s.RenewCertificates(false); err != nil {
			return err
		}
		s.Endpoints.CA = filepath.Join(s.certsDir(), certs.CAFile)
	}
	if !s.opts.NoSandbox {
		s.Endpoints.Sandbox = s.url(s.scheme(), Sandbox)
		if len(s.opts.Tenants) == 0 {
			s.Endpoints.Tenant = SandboxTenant
		}
	}
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, f := range []func(context.Context) error{s.startNATSWithStreams, s.startPostgres, s.startSandbox} {
		wg.Go(func() { errs[i] = f(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if s.opts.Before != nil {
		if err := s.opts.Before(ctx, s.Endpoints); err != nil {
			return err
		}
	}
	config, err := s.writeConfig()
	if err != nil {
		return err
	}
	errs = make([]error, len(s.opts.Services))
	for i, name := range s.opts.Services {
		wg.Go(func() { errs[i] = s.startService(ctx, name, config) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, name := range s.opts.Services {
		s.Endpoints.Services[name] = s.url(s.scheme(), name)
	}
	if s.opts.Console {
		if err := s.startConsole(ctx); err != nil {
			return err
		}
	}
	s.opts.Log.Info("everything is ready", "after", time.Since(began).Round(10*time.Millisecond))
	return s.writeEndpoints()
}

func (s *Stack) startNATS(ctx context.Context) error {
	if s.opts.NATS != "" {
		s.Endpoints.NATS = s.opts.NATS
		return nil
	}
	if s.opts.NATSInProcess {
		config := embedded.NATSConfig{Port: s.ports[NATS], StoreDir: filepath.Join(s.opts.Dir, "nats")}
		if s.opts.TLS {
			config.TLS = certs.ServerConfig(s.certificate(NATS))
		}
		server, err := embedded.StartNATS(config)
		s.nats = server
		return err
	}
	args := []string{"server", "--port", fmt.Sprint(s.ports[NATS]), "--store", filepath.Join(s.opts.Dir, "nats")}
	if s.opts.Permissions {
		args = append(args, "--users", s.usersFile())
	}
	args = append(args, s.certArgs(NATS, "--cert", "--key")...)
	return s.run(ctx, &program{name: NATS, path: s.cli(), args: args, ready: dials(s.ports[NATS])})
}

func (s *Stack) startSandbox(ctx context.Context) error {
	if s.opts.NoSandbox {
		return nil
	}
	return s.run(ctx, &program{
		name: Sandbox, path: filepath.Join(s.opts.Bin, Sandbox),
		args: append([]string{
			"--listen", fmt.Sprintf("127.0.0.1:%d", s.ports[Sandbox]),
			"--ldap-listen", fmt.Sprintf("127.0.0.1:%d", s.ports[sandboxLDAP]),
			"--state-file", filepath.Join(s.opts.Dir, "sandbox.state"),
		}, s.certArgs(Sandbox, "--http-cert", "--http-key")...),
		env:   s.opts.SandboxEnv,
		ready: answers(s.Endpoints.Sandbox+"/readyz", s.Endpoints.CA),
	})
}

func (s *Stack) startService(ctx context.Context, name, config string) error {
	own := s.IdentityEnv(name)
	if s.opts.EnvOf != nil {
		own = append(own, s.opts.EnvOf(name)...)
	}
	return s.run(ctx, &program{
		name: name, path: filepath.Join(s.opts.Bin, name),
		args: append([]string{"--config", config, "--http", fmt.Sprintf("127.0.0.1:%d", s.ports[name])}, s.certArgs(name, "--http-cert", "--http-key")...),
		env: slices.Concat([]string{
			"MAILWRIGHT_DATABASE_URL=" + s.Endpoints.Postgres,
			"MAILWRIGHT_NATS_URL=" + s.Endpoints.NATS,
		}, s.opts.Env, own),
		ready: answers(s.url(s.scheme(), name)+"/readyz", s.Endpoints.CA),
	})
}

func (s *Stack) startPostgres(ctx context.Context) error {
	if s.opts.Postgres != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.Endpoints.Postgres = s.opts.Postgres
		return nil
	}
	p, err := embedded.StartPostgres(ctx, embedded.PostgresConfig{
		Dir: filepath.Join(s.opts.Dir, "postgres"), Port: s.ports[Postgres],
		Volatile: s.opts.Volatile, Logger: s.opts.Log, TLS: s.postgresTLS(),
	})
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postgres = p
	s.Endpoints.Postgres = p.URL()
	return nil
}

// run starts a program, watches over it, and waits until it is ready.
func (s *Stack) run(ctx context.Context, p *program) error {
	p.log, p.dir = s.opts.Log, s.opts.Dir
	s.mu.Lock()
	s.programs[p.name] = p
	s.order = append(s.order, p.name)
	s.mu.Unlock()
	if err := p.start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return p.await(ctx)
}

// Kill ends a part at once, as a crash would (SIGKILL), and leaves it down until [Stack.Restart].
func (s *Stack) Kill(name string) error {
	switch {
	case name == Postgres:
		return s.killPostgres()
	case name == NATS && s.nats != nil: // it cannot crash without us
		s.nats.Shutdown()
		return nil
	}
	p, err := s.program(name)
	if err != nil {
		return err
	}
	return p.kill()
}

// Restart brings a part back that was killed, and returns when it is ready.
func (s *Stack) Restart(ctx context.Context, name string) error {
	switch {
	case name == Postgres:
		return s.startPostgres(ctx)
	case name == NATS && s.nats != nil:
		return s.startNATS(ctx)
	}
	p, err := s.program(name)
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	return p.await(ctx)
}

func (s *Stack) program(name string) (*program, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.programs[name]
	if !ok {
		return nil, fmt.Errorf("there is no part %q", name)
	}
	return p, nil
}

func (s *Stack) killPostgres() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postgres == nil {
		return errors.New("Postgres is not ours to kill")
	}
	process, err := os.FindProcess(s.postgres.PID())
	if err != nil {
		return err
	}
	if err := process.Kill(); err != nil {
		return err
	}
	<-s.postgres.Done()
	return nil
}

// Stop ends every part in reverse order: services first, so that they hand over what they hold.
func (s *Stack) Stop() error {
	s.mu.Lock()
	order := slices.Clone(s.order)
	s.mu.Unlock()
	var errs []error
	stopAll := func(names []string) {
		var wg sync.WaitGroup
		for _, name := range names {
			p, _ := s.program(name)
			wg.Go(func() {
				if err := p.stop(); err != nil {
					s.mu.Lock()
					errs = append(errs, err)
					s.mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
	isService := func(name string) bool { return name == Console || slices.Contains(s.opts.Services, name) }
	stopAll(slices.DeleteFunc(slices.Clone(order), func(n string) bool { return !isService(n) }))
	stopAll(slices.DeleteFunc(slices.Clone(order), isService))
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	if s.nats != nil {
		s.nats.Shutdown()
	}
	_ = os.Remove(filepath.Join(s.opts.Dir, EndpointsFile))
	return errors.Join(errs...)
}
