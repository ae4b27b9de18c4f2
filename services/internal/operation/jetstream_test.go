package operation_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/provision"
)

// startWith starts a server with a configuration; %q of it is where the server keeps its files.
func startWith(t *testing.T, config string) (*embedded.NATS, *natsserver.Options) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, t.TempDir()), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := natsserver.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	server, err := embedded.StartServer(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server, options
}

// hub has JetStream in a domain, and takes leaf nodes.
const hub = `
port: -1
server_name: hub
jetstream { store_dir: %q, domain: hub }
leafnodes { port: -1 }
`

// sizes is an account that refuses a stream without a size.
const sizes = `
port: -1
jetstream { store_dir: %q, max_file_store: 10G }
accounts { MAILWRIGHT {
  users: [ { user: mailwright, password: example } ]
  jetstream { max_file: 1G, max_mem: 0, max_streams: 20, max_consumers: 300, max_bytes_required: true }
} }
`

// imported has the streams in one account, and the programs in another, which imports what they use.
const imported = `
port: -1
jetstream { store_dir: %q }
accounts {
  STREAMS {
    jetstream: enabled
    exports: [
      { service: "$JS.API.>", response_type: stream }
      { service: "$JS.ACK.>" }
      { service: "mailwright.>" }
    ]
  }
  PROGRAMS {
    users: [ { user: mailwright, password: example } ]
    imports: [
      { service: { account: STREAMS, subject: "$JS.API.>" }, to: "JS.streams.API.>" }
      { service: { account: STREAMS, subject: "$JS.ACK.>" } }
      { service: { account: STREAMS, subject: "mailwright.>" } }
    ]
  }
}
`

// TestWhereJetStreamIs: commands are carried out wherever JetStream is: in an account that demands
// sizes, in another domain behind a leaf node, and in another account behind a prefix.
func TestWhereJetStreamIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start func(t *testing.T) (url string)
		flags bus.JetStreamFlags
	}{
		"an account that demands sizes": {
			start: func(t *testing.T) string { return asUser(t, sizes) },
		},
		"the server's own domain": {
			start: func(t *testing.T) string {
				server, _ := startWith(t, hub)
				return server.URL()
			},
			flags: bus.JetStreamFlags{JSDomain: "hub"},
		},
		"a domain behind a leaf node": {
			start: func(t *testing.T) string {
				_, options := startWith(t, hub)
				leaf, _ := startWith(t, "# %q\nport: -1\nserver_name: leaf\nleafnodes { remotes: [ { url: \"nats://127.0.0.1:"+strconv.Itoa(options.LeafNode.Port)+"\" } ] }\n")
				return leaf.URL()
			},
			flags: bus.JetStreamFlags{JSDomain: "hub"},
		},
		"a prefix": {
			start: func(t *testing.T) string { return asUser(t, imported) },
			flags: bus.JetStreamFlags{JSAPIPrefix: "JS.streams.API"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flags := bus.ConnFlags{NATSURL: c.start(t), JetStreamFlags: c.flags}
			nc, js, err := flags.Connect(t.Context(), "test", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			(&env{T: t, log: &logBuffer{}}).until("JetStream answers: a leaf node connects by itself", func() bool {
				_, err := js.AccountInfo(t.Context())
				return err == nil
			})
			worksThrough(t, js)
		})
	}
}

// asUser starts a server, and is its URL for the user mailwright.
func asUser(t *testing.T, config string) string {
	t.Helper()
	server, _ := startWith(t, config)
	return "nats://mailwright:example@" + server.URL()[len("nats://"):]
}

// worksThrough makes the streams by a handle of JetStream, and has commands carried out: one at
// once, one that is parked, one that waits for its time, and one after a change of the partitions.
func worksThrough(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), outcomeTimeout)
	defer cancel()
	apply := func(partitions int) {
		t.Helper()
		s := provision.Settings{Config: topology.Config{Partitions: partitions, MaxBytes: 64 << 20}}
		if err := provision.Apply(ctx, js, s, func(provision.Item) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	apply(2)
	f := &effects{order: map[string][]string{}, calls: map[string]int{}}
	engine, err := operation.New(ctx, operation.Config{
		Domain: event.DomainDelegation, JS: js, Log: slog.New(slog.DiscardHandler), Handlers: map[string]operation.Handler{event.TypeDelegationChange: {Perform: f.perform}},
		ParkAfter: 100 * time.Millisecond, Retries: operation.Retries{failure.Throttled: {First: time.Millisecond, Max: time.Millisecond, Horizon: time.Hour}},
	})
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(serving) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for i, id := range []string{"at", "park", "later-1"} { // their lengths decide: see perform
		if i == 2 {
			apply(3)
		}
		c, err := client.New("contoso", "/test", id, event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"d@contoso.com"}})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := client.Send(ctx, js, c)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := client.Await(ctx, js, receipt); err != nil || o.State != event.StateSucceeded {
			t.Fatalf("%s: %v, %v", id, o, err)
		}
	}
}
