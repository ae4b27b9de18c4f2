package testkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
)

// engine is the Docker engine, and how the test reaches what runs on it. There is one a process.
type engine struct {
	docker *testcontainers.DockerClient
	// host is where published ports are. local says that it is this machine's loopback address.
	// Then ports are published on that address alone.
	host  string
	local bool

	portMu sync.Mutex
	given  map[int]bool
}

var theEngine struct {
	sync.Mutex
	engine *engine
}

// DockerAnswers reports whether a Docker engine answers within three seconds.
func DockerAnswers(ctx context.Context) bool {
	c, err := plainClient(ctx)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// plainClient reaches the engine without testcontainers, which reads its settings once, when it is
// first used: DOCKER_HOST, else the usual sockets, else where the docker command would go.
func plainClient(ctx context.Context) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	hosts := []string{os.Getenv(client.EnvOverrideHost)}
	if hosts[0] == "" {
		home, _ := os.UserHomeDir()
		hosts = []string{client.DefaultDockerHost, "unix://" + os.Getenv("XDG_RUNTIME_DIR") + "/docker.sock", "unix://" + home + "/.docker/run/docker.sock"}
		if inUse, err := exec.CommandContext(ctx, "docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").Output(); err == nil {
			hosts = append(hosts, strings.TrimSpace(string(inUse)))
		}
	}
	var errs []error
	for _, host := range hosts {
		c, err := client.New(client.FromEnv, client.WithHost(host))
		if err == nil {
			if _, err = c.Ping(ctx, client.PingOptions{}); err == nil {
				return c, nil
			}
			_ = c.Close()
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// connect prepares testcontainers and sweeps up what killed processes left, both once a process.
func connect(ctx context.Context, log *slog.Logger) (*engine, error) {
	theEngine.Lock()
	defer theEngine.Unlock()
	if theEngine.engine != nil {
		return theEngine.engine, nil
	}
	// Testcontainers logs every step. For the user's own containers it goes on to do so.
	defer tclog.SetDefault(tclog.Default())
	tclog.SetDefault(silent{})
	if c, err := plainClient(ctx); err == nil { // else let testcontainers find it, as it finds contexts
		chooseReaper(ctx, c, log)
		_ = c.Close()
	}
	c, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("no Docker engine answers (WithBackend(Embedded) needs none): %w", err)
	}
	e := &engine{docker: c, given: map[int]bool{}}
	if err := e.findHost(ctx); err != nil {
		return nil, err
	}
	e.sweep(ctx, log)
	theEngine.engine = e
	return e, nil
}

// Variables of testcontainers. Those that the user has not set are set for this process.
const (
	hostOverride = "TESTCONTAINERS_HOST_OVERRIDE"
	noReaper     = "TESTCONTAINERS_RYUK_DISABLED"
)

// findHost finds where published ports are. Testcontainers takes a /.dockerenv as a sign that we
// run in a container beside the others, and looks for their ports at the gateway. But that file is
// also on machines, and in containers that share the engine's network. If the engine's bridge is a
// network device of ours, we share its network, and loopback reaches every port.
func (e *engine) findHost(ctx context.Context) error {
	if os.Getenv(hostOverride) == "" && strings.HasPrefix(e.docker.DaemonHost(), "unix://") && e.sharesNetwork(ctx) {
		if err := os.Setenv(hostOverride, "127.0.0.1"); err != nil {
			return err
		}
	}
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithDefaultBridgeNetwork(testcontainers.Bridge))
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	if e.host, err = provider.DaemonHost(ctx); err != nil {
		return err
	}
	if e.host == "localhost" {
		e.host = "127.0.0.1" // ports are published on IPv4
	}
	e.local = e.host == "127.0.0.1"
	return nil
}

func (e *engine) sharesNetwork(ctx context.Context) bool {
	bridge, err := e.docker.NetworkInspect(ctx, "bridge", client.NetworkInspectOptions{})
	if err != nil {
		return false
	}
	device, err := net.InterfaceByName(bridge.Network.Options["com.docker.network.bridge.name"])
	if err != nil {
		return false
	}
	own, err := device.Addrs()
	if err != nil {
		return false
	}
	for _, config := range bridge.Network.IPAM.Config {
		for _, a := range own {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && config.Subnet.Contains(prefix.Addr()) {
				return true
			}
		}
	}
	return false
}

// registryAnswers bounds the wait for the first message of a registry. A pull that has begun is not
// bounded.
const registryAnswers = 5 * time.Second

// chooseReaper switches testcontainers' reaper off if its image is not here and cannot be pulled.
func chooseReaper(ctx context.Context, c *client.Client, log *slog.Logger) {
	if os.Getenv(noReaper) != "" {
		return
	}
	//nolint:staticcheck // the only name by which the reaper's image can be asked for before it is needed
	reaper := testcontainers.ReaperDefaultImage
	if _, err := c.ImageInspect(ctx, reaper); err == nil {
		return
	}
	if err := pull(ctx, c, reaper); err != nil {
		log.Info("doing without testcontainers' reaper: what a killed test leaves is removed by the next one", "reason", err)
		_ = os.Setenv(noReaper, "true") // fails for malformed names only
	}
}

func pull(ctx context.Context, c *client.Client, image string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(registryAnswers, func() { cancel(errors.New("the registry does not answer")) })
	defer silence.Stop()
	progress, err := c.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	for message, err := range progress.JSONMessages(ctx) {
		silence.Stop()
		if err != nil {
			return err
		}
		if message.Error != nil {
			return message.Error
		}
	}
	return context.Cause(ctx)
}

// port chooses a port to publish on. It is chosen before the container starts, so that a part that
// is killed comes back where the test looks for it. No port is chosen twice. If another program
// takes the port before the container starts, the start is repeated with another one.
func (e *engine) port() (int, error) {
	e.portMu.Lock()
	defer e.portMu.Unlock()
	for {
		port, err := e.freePort()
		if err != nil || !e.given[port] {
			e.given[port] = true
			return port, err
		}
	}
}

func (e *engine) freePort() (int, error) {
	if !e.local {
		return 20000 + rand.IntN(10000), nil // below the ports that systems give to clients
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// silent is a logger for testcontainers.
type silent struct{}

func (silent) Printf(string, ...any) {}
