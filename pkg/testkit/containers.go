package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	dockernet "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/nats-io/nats.go"
	"github.com/testcontainers/testcontainers-go"
	tcnats "github.com/testcontainers/testcontainers-go/modules/nats"
	tcpostgres "github.com/testcontainers/testcontainers-go/modules/postgres"
	"github.com/testcontainers/testcontainers-go/network"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// startTimeout is how long a container may take until it is ready; a slow machine under load
// included.
const startTimeout = 90 * time.Second

// containers are the parts as containers on one network.
type containers struct {
	engine  *engine
	opts    options
	network string
	own     *testcontainers.DockerNetwork // nil: the user's
	id      string                        // of the system
	token   string                        // of the sandbox's control API
	users   *natsUsers                    // nil: the NATS server is the user's
	// natsReady is closed when NATS has the streams, for which the services wait.
	natsReady chan struct{}
	seedsDir  string           // of seeds that the test has asked for
	authority *certs.Authority // nil without WithTLS
	certsDir  string           // of the authority

	parts map[string]*part
}

func (s *System) runContainers(ctx context.Context) (err error) {
	c := &containers{opts: s.opts, network: s.opts.network, id: rand.Text(), token: rand.Text(), natsReady: make(chan struct{}), parts: map[string]*part{}}
	if c.engine, err = connect(ctx, s.opts.log); err != nil {
		return err
	}
	s.parts = c // from here on Stop removes what there is
	if err := c.join(ctx); err != nil {
		return err
	}
	s.Network = c.network
	if err := c.makeAuthority(); err != nil {
		return err
	}

	within := Endpoints{NATS: insideURL(s.opts.nats), Postgres: insideURL(s.opts.postgres)}
	s.Endpoints = Endpoints{NATS: s.opts.nats.URL, Postgres: s.opts.postgres.URL, Services: map[string]string{}, CA: c.ca()}
	login := "mailwright:" + rand.Text()
	if s.Endpoints.NATS != "" {
		if err := s.streamsAhead(ctx, s.Endpoints.NATS); err != nil {
			return err
		}
		close(c.natsReady)
	} else {
		within.NATS = "nats://" + NATS + ":4222"
		if len(s.opts.services) > 0 {
			if c.users, err = c.makeUsers(ctx); err != nil {
				return err
			}
		}
		c.nats(within.NATS)
	}
	if s.Endpoints.Postgres == "" {
		c.postgres(login)
		within.Postgres = c.databaseURL(login, Postgres+":5432", inside(certs.CAFile))
	}
	if !s.opts.noSandbox {
		c.sandbox()
	}
	for _, name := range s.opts.services {
		c.service(name, within)
	}
	if s.opts.console {
		c.console(within)
	}
	if err := c.startAll(ctx); err != nil {
		return err
	}
	for name, p := range c.parts {
		switch name {
		case NATS:
			s.Endpoints.NATS = "nats://" + p.address()
		case Postgres:
			s.Endpoints.Postgres = c.databaseURL(login, p.address(), c.ca())
		case Sandbox:
			s.Endpoints.Sandbox = c.scheme() + "://" + p.address()
			s.Vendors = &Vendors{url: s.Endpoints.Sandbox, token: c.token, ca: c.ca()}
		case stack.Console:
			s.Endpoints.Console = c.scheme() + "://" + p.address() + "/sign-in?token=" + c.token
		default:
			s.Endpoints.Services[name] = c.scheme() + "://" + p.address()
		}
	}
	return nil
}

// databaseURL is the URL of Postgres for who has the authority's file at ca.
func (c *containers) databaseURL(login, address, ca string) string {
	query := "sslmode=disable"
	if c.authority != nil {
		query = "sslmode=verify-full&sslrootcert=" + ca
	}
	return "postgres://" + login + "@" + address + "/mailwright?" + query
}

// join makes the network, unless the user brought one.
func (c *containers) join(ctx context.Context) (err error) {
	if c.network != "" {
		return nil
	}
	if c.own, err = network.New(ctx, network.WithLabels(Labels())); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	c.network = c.own.Name
	return nil
}

// insideURL is a server's address as containers see it.
func insideURL(s Server) string {
	if s.Inside != "" || s.URL == "" {
		return s.Inside
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return s.URL
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		u.Host = net.JoinHostPort("host.docker.internal", u.Port())
	}
	return u.String()
}

func (c *containers) nats(inside string) {
	p := c.add(NATS, "4222/tcp", runs(tcnats.Run))
	cmd := []string{"--jetstream", "--store_dir", "/data"}
	config := ""
	if c.users != nil {
		config = c.users.config
	}
	if c.authority != nil {
		config += natsTLS
	}
	if config != "" {
		p.opts = append(p.opts, c.copies("/data", map[string]string{usersFile: config}))
		cmd = append(cmd, "--config", "/data/"+usersFile)
	}
	p.opts = append(p.opts, hostConfig(locked, data), testcontainers.WithCmd(cmd...))
	p.ready = func(context.Context) error {
		nc, err := nats.Connect("nats://"+p.address(), append(trust(c.ca()), nats.Timeout(time.Second))...)
		if err == nil {
			nc.Close()
		}
		return err
	}
	if c.users == nil {
		close(c.natsReady)
		return
	}
	p.first = func(ctx context.Context) error {
		defer close(c.natsReady)
		return c.applyStreams(ctx, inside)
	}
}

// postgres adds a Postgres that runs as user postgres from the start: the image's entrypoint would
// need root's rights to change to that user. The server writes to its volume, which the image
// declares, and to the folder of its socket.
func (c *containers) postgres(login string) {
	p := c.add(Postgres, "5432/tcp", runs(tcpostgres.Run))
	user, password, _ := strings.Cut(login, ":")
	p.opts = []testcontainers.ContainerCustomizer{
		testcontainers.WithConfigModifier(func(config *container.Config) { config.User = "postgres" }),
		hostConfig(locked, func(h *container.HostConfig) { h.Tmpfs = map[string]string{"/tmp": "", "/var/run/postgresql": ""} }),
		tcpostgres.WithDatabase("mailwright"), tcpostgres.WithUsername(user), tcpostgres.WithPassword(password),
	}
	// A test's database need not outlive the machine.
	settings := []string{"postgres", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "jit=off"}
	if c.authority != nil {
		p.opts = append(p.opts, postgresTLS(settings)...)
	} else {
		p.opts = append(p.opts, testcontainers.WithCmd(settings...))
	}
	p.ready = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, c.databaseURL(login, p.address(), c.ca()))
		if err != nil {
			return errors.New("no answer yet") // pgx's own error names user and host
		}
		return conn.Close(ctx)
	}
}

func (c *containers) sandbox() {
	p := c.add(Sandbox, "8080/tcp", runs(testcontainers.Run))
	p.opts = []testcontainers.ContainerCustomizer{hostConfig(locked, data), testcontainers.WithEnv(map[string]string{
		"MAILWRIGHT_SANDBOX_CONTROL_TOKEN": c.token, "MAILWRIGHT_SANDBOX_STATE_FILE": "/data/sandbox.state",
		"MAILWRIGHT_SANDBOX_LDAP_LISTEN": "0.0.0.0:3389",
	}), testcontainers.WithEnv(c.serveHTTPS("MAILWRIGHT_SANDBOX_"))}
	p.ready = c.answers(p)
}

func (c *containers) service(name string, at Endpoints) {
	sandbox := stack.SandboxAddress{URL: c.scheme() + "://" + Sandbox + ":8080", LDAP: "ldap://" + Sandbox + ":3389"}
	if c.authority != nil {
		sandbox.CA = inside(certs.CAFile)
	}
	files := stack.SandboxConfig(sandbox)
	env := map[string]string{
		"MAILWRIGHT_NATS_URL": at.NATS, "MAILWRIGHT_DATABASE_URL": at.Postgres, "MAILWRIGHT_CONFIG": "/data/" + stack.ConfigFile,
	}
	if c.users != nil {
		files[seedFile] = c.users.seeds[name]
		env["MAILWRIGHT_NATS_NKEY"] = "/data/" + seedFile
	}
	maps.Copy(env, c.trustEnv())
	maps.Copy(env, c.serveHTTPS("MAILWRIGHT_"))
	maps.Copy(env, c.env())
	p := c.add(name, "8080/tcp", runs(testcontainers.Run))
	p.after = c.natsReady
	p.opts = []testcontainers.ContainerCustomizer{hostConfig(locked, data), testcontainers.WithEnv(env), c.copies("/data", files)}
	p.ready = c.answers(p)
}

// console adds the console. Its health is at another port than what people open.
func (c *containers) console(at Endpoints) {
	env := map[string]string{
		"MAILWRIGHT_NATS_URL": at.NATS, "MAILWRIGHT_DATABASE_URL": at.Postgres, "MAILWRIGHT_LISTEN": "0.0.0.0:8081", "MAILWRIGHT_TOKEN": c.token,
	}
	files := map[string]string{}
	if c.users != nil {
		files[seedFile] = c.users.seeds[stack.Console]
		env["MAILWRIGHT_NATS_NKEY"] = "/data/" + seedFile
	}
	if c.authority != nil {
		env["MAILWRIGHT_TLS_CERT"], env["MAILWRIGHT_TLS_KEY"] = inside(certs.CertFile), inside(certs.KeyFile)
	}
	maps.Copy(env, c.trustEnv())
	maps.Copy(env, c.serveHTTPS("MAILWRIGHT_"))
	p := c.add(stack.Console, "8081/tcp", runs(testcontainers.Run))
	p.after = c.natsReady
	p.opts = []testcontainers.ContainerCustomizer{hostConfig(locked, data), testcontainers.WithEnv(env), c.copies("/data", files)}
	p.ready = func(ctx context.Context) error { return answers(ctx, c.scheme()+"://"+p.address()+"/sign-in", c.ca()) }
}

// answers is ready when the part's /readyz answers 200.
func (c *containers) answers(p *part) func(context.Context) error {
	return func(ctx context.Context) error { return answers(ctx, c.scheme()+"://"+p.address()+"/readyz", c.ca()) }
}

// copies puts files into a folder of the container before it starts. Testcontainers' own option
// would go by the root folder, which the engine does not write to where it is read-only.
func (c *containers) copies(dir string, files map[string]string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithAdditionalLifecycleHooks(testcontainers.ContainerLifecycleHooks{
		PostCreates: []testcontainers.ContainerHook{func(ctx context.Context, created testcontainers.Container) error {
			archive, err := archive(files)
			if err != nil {
				return err
			}
			_, err = c.engine.docker.CopyToContainer(ctx, created.GetContainerID(), client.CopyToContainerOptions{DestinationPath: dir, Content: archive})
			return err
		}},
	})
}

func (c *containers) add(name, inside string, run runner) *part {
	p := &part{name: name, image: c.opts.images[name], host: c.engine.host, inside: inside, run: run}
	c.parts[name] = p
	return p
}

// startAll starts the parts at once. A service waits here for the streams, which it may not make,
// and by itself for everything else.
func (c *containers) startAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, p := range c.parts {
		if err := c.certificate(p); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for _, p := range c.parts {
		wg.Go(func() {
			if err := c.start(ctx, p); err != nil {
				cancel(err) // the first is the cause; the others need not be waited for
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// start makes a container of the part and waits until it is ready.
func (c *containers) start(ctx context.Context, p *part) (err error) {
	if p.after != nil {
		select {
		case <-p.after:
		case <-ctx.Done():
			return nil // the cause is told already
		}
	}
	began := time.Now()
	for range 3 {
		if err = c.launch(ctx, p); err == nil || !portTaken(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, explain(err, p.image))
	}
	if err := c.await(ctx, p); err != nil {
		return err
	}
	if p.first != nil {
		if err := p.first(ctx); err != nil {
			return err
		}
	}
	c.opts.log.Info("ready", "part", p.name, "after", time.Since(began).Round(time.Millisecond))
	return nil
}

func (c *containers) launch(ctx context.Context, p *part) (err error) {
	if p.published, err = c.engine.port(); err != nil {
		return err
	}
	opts := slices.Concat(p.opts, []testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(silent{}),
		testcontainers.WithLabels(Labels()),
		testcontainers.WithLabels(map[string]string{systemLabel: c.id, "io.mailwright.testkit.part": p.name}),
		// In place of what a module exposes besides, which would be published on all of the host's
		// addresses.
		testcontainers.CustomizeRequestOption(func(req *testcontainers.GenericContainerRequest) error {
			req.ExposedPorts = []string{p.inside}
			return nil
		}),
		network.WithNetworkName([]string{p.name}, c.network),
		// Readiness is asked for from here, and more often than a health check within would tell.
		testcontainers.WithConfigModifier(func(config *container.Config) {
			config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		}),
		hostConfig(func(h *container.HostConfig) {
			binding := dockernet.PortBinding{HostPort: strconv.Itoa(p.published)}
			if c.engine.local {
				binding.HostIP = netip.MustParseAddr("127.0.0.1")
			}
			h.PortBindings = dockernet.PortMap{dockernet.MustParsePort(p.inside): {binding}}
			if c.opts.nats.URL+c.opts.postgres.URL != "" {
				h.ExtraHosts = append(h.ExtraHosts, "host.docker.internal:host-gateway")
			}
		}),
		testcontainers.WithWaitStrategy(here), // for await, which needs no shell in the image
	})
	// A container that is being made would escape Stop if its making were cut off.
	p.Container, err = p.run(context.WithoutCancel(ctx), p.image, opts...)
	return err
}

// await waits until a part is ready; the error shows the end of its log.
func (c *containers) await(ctx context.Context, p *part) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		state, stateErr := p.State(ctx)
		ended := stateErr == nil && !state.Running
		select {
		case <-ctx.Done():
		case <-tick.C:
			if !ended {
				continue
			}
			err = fmt.Errorf("it ended with exit code %d", state.ExitCode)
		}
		log, _ := c.log(context.WithoutCancel(ctx), p)
		lines := strings.Split(strings.TrimSpace(log), "\n")
		if timeUp := context.Cause(ctx); timeUp != nil {
			err = fmt.Errorf("%w: %w", err, timeUp)
		}
		return fmt.Errorf("%s is not ready: %w; the end of its log:\n%s", p.name, err, strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
}

func (c *containers) part(name string) (*part, error) {
	p := c.parts[name]
	if p == nil {
		return nil, fmt.Errorf("testkit: there is no part %q; there are %q", name, slices.Sorted(maps.Keys(c.parts)))
	}
	return p, nil
}

// Kill implements parts.
func (c *containers) Kill(name string) error {
	p, err := c.part(name)
	if err != nil {
		return err
	}
	_, err = c.engine.docker.ContainerKill(context.Background(), p.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"})
	return err
}

// Restart implements parts.
func (c *containers) Restart(ctx context.Context, name string) error {
	p, err := c.part(name)
	if err != nil {
		return err
	}
	if _, err := c.engine.docker.ContainerStart(ctx, p.GetContainerID(), client.ContainerStartOptions{}); err != nil {
		return err
	}
	return c.await(ctx, p)
}

// Logs implements parts.
func (c *containers) Logs(ctx context.Context) (map[string]string, error) {
	logs := map[string]string{}
	var errs []error
	for name, p := range c.parts {
		if p.Container == nil {
			continue
		}
		log, err := c.log(ctx, p)
		logs[name] = log
		errs = append(errs, err)
	}
	return logs, errors.Join(errs...)
}

func (c *containers) log(ctx context.Context, p *part) (string, error) {
	stream, err := c.engine.docker.ContainerLogs(ctx, p.GetContainerID(), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }()
	var text bytes.Buffer
	_, err = stdcopy.StdCopy(&text, &text, stream)
	return text.String(), err
}

// Stop implements parts. It does not wait for anyone's goodbye: nothing outlives the test anyway.
func (c *containers) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	// By their label: one whose start failed halfway is not known otherwise.
	list, err := c.engine.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", systemLabel+"="+c.id)})
	if err != nil {
		return err
	}
	errs := make([]error, len(list.Items))
	var wg sync.WaitGroup
	for i, found := range list.Items {
		wg.Go(func() {
			_, errs[i] = c.engine.docker.ContainerRemove(ctx, found.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		})
	}
	wg.Wait()
	for _, dir := range []string{c.seedsDir, c.certsDir} {
		if dir != "" {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	if c.own != nil {
		errs = append(errs, c.own.Remove(ctx))
	}
	return errors.Join(errs...)
}
