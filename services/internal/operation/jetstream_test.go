package operation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/permissions"
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
			worksThrough(t, func(string) jetstream.JetStream { return js })
		})
	}
}

// TestPermissionsInADomain: every program has what it needs where JetStream's API has a prefix.
func TestPermissionsInADomain(t *testing.T) {
	t.Parallel()
	where := bus.JetStreamFlags{JSDomain: "hub"}
	options, err := where.Options()
	if err != nil {
		t.Fatal(err)
	}
	users := permissions.Users(permissions.Options{Partitions: 3, JetStream: options, Scopes: []permissions.Scope{{Tenant: "contoso"}}})
	seeds := t.TempDir()
	keys, err := permissions.Seeds(seeds, users)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.ReplaceAll(permissions.Config(users, keys), "%", "%%")
	secured := strings.Replace(hub, "leafnodes { port: -1 }", "leafnodes { port: -1, authorization { user: link, password: example, account: MAILWRIGHT } }", 1)
	server, hubOptions := startWith(t, secured+config)
	// The link of a leaf node may do everything in its account; its users are kept to their rules.
	leaf, _ := startWith(t, "# %q\nport: -1\nserver_name: leaf\nleafnodes { remotes: [ { url: \"nats://link:example@127.0.0.1:"+strconv.Itoa(hubOptions.LeafNode.Port)+
		"\", account: MAILWRIGHT } ] }\n"+strings.ReplaceAll(config, "jetstream: enabled", ""))
	for name, url := range map[string]string{"on a server of the domain": server.URL(), "behind a leaf node": leaf.URL()} {
		t.Run(name, func(t *testing.T) { worksUnderPermissions(t, url, where, seeds) })
	}
}

func worksUnderPermissions(t *testing.T, url string, where bus.JetStreamFlags, seeds string) {
	t.Helper()
	worksThrough(t, func(user string) jetstream.JetStream {
		flags := bus.ConnFlags{NATSURL: url, JetStreamFlags: where, AuthFlags: bus.AuthFlags{NATSNKey: permissions.SeedFile(seeds, user)}}
		nc, js, err := flags.Connect(t.Context(), user, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := bus.Denied(nc); err != nil {
				t.Errorf("%s: %v", user, err)
			}
			nc.Close()
		})
		return js
	})
}

// asUser starts a server, and is its URL for the user mailwright.
func asUser(t *testing.T, config string) string {
	t.Helper()
	server, _ := startWith(t, config)
	return "nats://mailwright:example@" + server.URL()[len("nats://"):]
}

// worksThrough makes the streams and has commands carried out, each by the handle of a user: one
// command at once, one that is parked, and one after a change of the partitions.
func worksThrough(t *testing.T, handle func(user string) jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), outcomeTimeout)
	defer cancel()
	streams, worker, publisher := handle(permissions.Streams), handle(permissions.Worker(event.DomainDelegation)), handle(permissions.Publisher(permissions.Scope{Tenant: "contoso"}))
	apply := func(partitions int) {
		t.Helper()
		s := provision.Settings{Config: topology.Config{Partitions: partitions, MaxBytes: 64 << 20}}
		var err error
		(&env{T: t, log: &logBuffer{}}).until("JetStream answers: a leaf node connects by itself", func() bool {
			err = provision.Apply(ctx, streams, s, func(provision.Item) error { return nil })
			return !errors.Is(err, nats.ErrNoResponders)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	apply(2)
	f := &effects{order: map[string][]string{}, calls: map[string]int{}}
	engine, err := operation.New(ctx, operation.Config{
		Domain: event.DomainDelegation, JS: worker, Log: slog.New(slog.DiscardHandler), Handlers: map[string]operation.Handler{event.TypeDelegationChange: {Perform: f.perform}},
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
		receipt, err := client.Send(ctx, publisher, c)
		if err != nil {
			t.Fatal(err)
		}
		if o, err := client.Await(ctx, publisher, receipt); err != nil || o.State != event.StateSucceeded {
			t.Fatalf("%s: %v, %v", id, o, err)
		}
	}
}
