//go:build failpoints

package operation_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestOneOutcomeOnThreeServers has two replicas, without the order of partitions, work on commands
// that COMMANDS holds thrice, on streams of three servers each, of which one is lost on the way and
// comes back: the guard alone keeps every operation at one outcome.
func TestOneOutcomeOnThreeServers(t *testing.T) {
	t.Parallel()
	const commands = 60
	c := startCluster(t)
	env := &env{T: t, js: c.jetStream(), log: &logBuffer{}, domain: event.DomainDelegation}
	if err := topology.Ensure(t.Context(), env.js, topology.Config{Partitions: partitions, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.serve(env.log)
	}
	send := func(from, to int) {
		for i := from; i < to; i++ {
			for range 3 {
				m := on(fmt.Sprint("key", i), command(fmt.Sprint(i), valid))
				env.until("the command is stored", func() bool { _, err := env.js.PublishMsg(t.Context(), m); return err == nil })
			}
		}
	}
	send(0, commands/3)
	gone := c.leader(env.stream(topology.StreamEvents).CachedInfo())
	c.stop(gone)
	send(commands/3, 2*commands/3)
	c.start(gone)
	send(2*commands/3, commands)

	list := func() map[string]int {
		outcomes := map[string]int{}
		for i := range commands {
			for _, typ := range env.history(fmt.Sprint(i)) {
				if typ == "delegation.changed" {
					outcomes[fmt.Sprint(i)]++
				}
			}
		}
		return outcomes
	}
	env.until("every command has an outcome", func() bool { return len(list()) == commands })
	env.until("every copy is acknowledged", func() bool {
		pending := uint64(0)
		consumers := env.stream(topology.StreamCommands).ListConsumers(t.Context())
		for info := range consumers.Info() {
			if info.Name != "delegation-recheck" { // which checks each once more, much later
				pending += info.NumPending + uint64(info.NumAckPending)
			}
		}
		return consumers.Err() == nil && pending == 0
	})
	for id, n := range list() {
		if n != 1 {
			t.Errorf("%d outcomes of command %s: %v", n, id, env.history(id))
		}
	}
	if !strings.Contains(env.log.String(), "another replica has written first") {
		t.Error("the replicas never met at an operation, so this shows nothing")
	}
}

// cluster is three NATS servers of one JetStream, in this process.
type cluster struct {
	*testing.T
	options []*server.Options
	servers []*server.Server
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{T: t, servers: make([]*server.Server, 3)}
	var routes []*url.URL
	for i := range c.servers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
		c.options = append(c.options, &server.Options{
			ServerName: fmt.Sprint("nats", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(t.TempDir(), fmt.Sprint(i)), NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port},
		})
		_ = l.Close()
	}
	for i, o := range c.options {
		o.Routes = routes
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.stop(i)
		}
	})
	return c
}

func (c *cluster) start(i int) {
	c.Helper()
	s, err := server.NewServer(c.options[i].Clone())
	if err != nil {
		c.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(outcomeTimeout) {
		c.Fatal("a server of the cluster does not start")
	}
	c.servers[i] = s
}

func (c *cluster) stop(i int) {
	c.servers[i].Shutdown()
	c.servers[i].WaitForShutdown()
}

// leader is the index of the server that leads a stream.
func (c *cluster) leader(info *jetstream.StreamInfo) int {
	c.Helper()
	for i, o := range c.options {
		if info.Cluster != nil && o.ServerName == info.Cluster.Leader {
			return i
		}
	}
	c.Fatal("nobody leads the stream")
	return 0
}

// jetStream is a connection that finds another server when its own is lost. It returns once the
// cluster can make streams.
func (c *cluster) jetStream() jetstream.JetStream {
	c.Helper()
	var urls []string
	for _, s := range c.servers {
		urls = append(urls, s.ClientURL())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		c.Fatal(err)
	}
	for deadline := time.Now().Add(outcomeTimeout); ; time.Sleep(50 * time.Millisecond) {
		info, err := js.AccountInfo(c.Context())
		if err == nil && info != nil && c.whole() {
			return js
		}
		if time.Now().After(deadline) {
			c.Fatal("the cluster has no leader: ", err)
		}
	}
}

// whole reports whether the servers have a leader that knows all of them.
func (c *cluster) whole() bool {
	for _, s := range c.servers {
		if s.JetStreamIsLeader() {
			return len(s.JetStreamClusterPeers()) == len(c.servers)
		}
	}
	return false
}

// serve runs a replica, over a connection of its own, until the test ends.
func (c *cluster) serve(log *logBuffer) {
	c.Helper()
	c.serveWith(log, func(cfg *operation.Config) {
		cfg.Failpoints = failpoint.New(nil, failpoint.Ownership)
		cfg.Handlers = map[string]operation.Handler{event.TypeDelegationChange: {Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) }}}
	})
}

func (c *cluster) serveWith(log *logBuffer, change func(*operation.Config)) {
	c.Helper()
	cfg := operation.Config{Domain: event.DomainDelegation, JS: c.jetStream(), Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	change(&cfg)
	engine, err := operation.New(c.Context(), cfg)
	if err != nil {
		c.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(ctx) }()
	c.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.Errorf("serve: %v", err)
		}
	})
}
