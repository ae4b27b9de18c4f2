package testkit_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnats "github.com/testcontainers/testcontainers-go/modules/nats"
	"github.com/testcontainers/testcontainers-go/network"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
)

// backend is what scripts/test found: the same tests run on both.
var backend = testkit.Backend(cmp.Or(os.Getenv("MAILWRIGHT_TEST_BACKEND"), string(testkit.Embedded)))

func start(t *testing.T, opts ...testkit.Option) *testkit.System {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return testkit.Start(t, append([]testkit.Option{testkit.WithBackend(backend), testkit.WithLog(log), testkit.WithImages(images())}, opts...)...)
}

// images are those that scripts/images built last, by id.
func images() map[string]string {
	raw, _ := os.ReadFile(os.Getenv("MAILWRIGHT_TEST_IMAGES")) // absent: by name
	list := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) == 3 {
			list[fields[0]] = fields[1]
		}
	}
	return list
}

func change(mailbox, delegate string) testkit.Command {
	return testkit.NewCommand(event.DelegationChangeData{Mailbox: mailbox, Add: []string{delegate}})
}

func succeeds(t *testing.T, mw *testkit.System, cmd testkit.Command) {
	t.Helper()
	if err := mw.Publish(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	outcome, err := mw.AwaitOutcome(t.Context(), cmd)
	if err != nil || outcome.State != event.StateSucceeded {
		t.Fatal(outcome, err)
	}
}

func TestWholeSystem(t *testing.T) {
	t.Parallel()
	logs := t.TempDir()
	mw := start(t, testkit.WithLogDir(logs))
	ctx := t.Context()
	if backend == testkit.Containers {
		haveNoRights(t, mw)
	}

	if err := mw.Vendors.Fail(ctx, testkit.Fault{Vendor: "exchangeonline", Kind: "status", Count: 1, Params: testkit.FaultParams{Status: 503}}); err != nil {
		t.Fatal(err)
	}
	cmd := change("alex@contoso.com", "megan.bowen@contoso.com")
	succeeds(t, mw, cmd)
	calls, err := mw.Vendors.Calls(ctx, "exchangeonline", "")
	if err != nil || len(calls) < 2 || calls[0].Fault != "status" {
		t.Errorf("calls %+v, %v", calls, err)
	}

	outcome, err := mw.AwaitOutcome(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := testkit.Decode[event.DelegationChangedData](outcome.Event)
	if err != nil || len(changed.Added) != 1 {
		t.Errorf("%+v, %v", changed, err)
	}
	rows, err := mw.AwaitRows(ctx, `SELECT domain FROM mailwright_views.operations WHERE operation_id = $1 AND state = 'succeeded'`, cmd.OperationID())
	if err != nil || rows[0]["domain"] != "delegation" {
		t.Errorf("%v, %v", rows, err)
	}

	other := change("alex@contoso.com", "admin@contoso.com")
	other.SetID(cmd.ID())
	if err := mw.Publish(ctx, other); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, err := mw.AwaitOutcome(ctx, other)
		dead, ok := errors.AsType[*testkit.DeadError](err)
		return ok && dead.Letter.Reason != ""
	})

	if err := mw.Stop(); err != nil {
		t.Error(err)
	}
	for _, part := range []string{"delegation-svc", testkit.Sandbox} {
		if raw, err := os.ReadFile(logs + "/" + part + ".log"); err != nil || len(raw) == 0 {
			t.Errorf("log of %s: %d bytes, %v", part, len(raw), err)
		}
	}
}

// haveNoRights holds each container of a system against what is promised: it runs as a user without
// rights, cannot write to its image, has no capability nor a way to one, and is published on
// loopback only.
func haveNoRights(t *testing.T, mw *testkit.System) {
	t.Helper()
	docker := engine(t)
	network, err := docker.NetworkInspect(t.Context(), mw.Network, client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(network.Network.Containers); n != 3+len(mw.Endpoints.Services) {
		t.Errorf("%d containers, want NATS, Postgres, the sandbox and the services", n)
	}
	for id := range network.Network.Containers {
		found, err := docker.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c := found.Container
		if c.Config.Image != testkit.NATSImage && (c.Config.User == "" || c.Config.User == "root" || c.Config.User == "0") {
			t.Errorf("%s runs as user %q", c.Name, c.Config.User) // for NATS see docs/compose.md
		}
		if h := c.HostConfig; !h.ReadonlyRootfs || !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) > 0 ||
			!slices.Equal(h.SecurityOpt, []string{"no-new-privileges"}) || h.Privileged {
			t.Errorf("%s has rights: %+v", c.Name, h)
		}
		for port, bindings := range c.NetworkSettings.Ports {
			for _, b := range bindings {
				if !b.HostIP.IsLoopback() && strings.Contains(mw.Endpoints.NATS, "127.0.0.1") {
					t.Errorf("%s publishes %s on %s", c.Name, port, b.HostIP)
				}
			}
		}
	}
}

// engine is not asked by way of testcontainers, which would read its settings then, before testkit
// has chosen them.
func engine(t *testing.T) *client.Client {
	t.Helper()
	docker, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = docker.Close() })
	return docker
}

// TestImages holds the programs' images against what is promised of them. That they start
// read-only, every other test shows.
func TestImages(t *testing.T) {
	t.Parallel()
	if backend != testkit.Containers {
		t.Skip("there are no images without an engine")
	}
	docker, list := engine(t), images()
	if len(list) != 3+len(stack.Services) {
		t.Fatalf("MAILWRIGHT_TEST_IMAGES lists %d images, want the command line, the sandbox, the console and the services", len(list))
	}
	for program, id := range list {
		image, err := docker.ImageInspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		c := image.Config
		if c.User != "65532:65532" {
			t.Errorf("%s runs as user %q", program, c.User)
		}
		if serves := program != "mailwright"; serves != (c.Healthcheck != nil && slices.Equal(c.Healthcheck.Test, []string{"CMD", "/program", "--healthcheck"})) {
			t.Errorf("%s has the health check %+v", program, c.Healthcheck)
		}
		for _, label := range []string{"version", "revision", "source", "title"} {
			if c.Labels["org.opencontainers.image."+label] == "" {
				t.Errorf("%s has no label that says its %s: %v", program, label, c.Labels)
			}
		}
		if len(image.RootFS.Layers) != 2 || image.Size > 60e6 {
			t.Errorf("%s has %d layers and %d bytes: more than /data and one static program with its SBOM and licences", program, len(image.RootFS.Layers), image.Size)
		}
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testkit.DefaultTimeout); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come true")
		}
	}
}

func TestKilledPartsComeBackWhereTheyWere(t *testing.T) {
	t.Parallel()
	mw := start(t, testkit.WithServices("delegation-svc"), testkit.WithEnv("MAILWRIGHT_PARTITIONS=4"))
	stream, err := mw.JetStream.Stream(t.Context(), topology.StreamCommands)
	if err != nil || !strings.Contains(stream.CachedInfo().Config.SubjectTransform.Destination, "partition(4,") {
		t.Errorf("the services' own number of partitions is not the streams': %v", err)
	}
	succeeds(t, mw, change("alex@contoso.com", "megan.bowen@contoso.com"))
	for _, part := range []string{testkit.NATS, testkit.Sandbox, testkit.Postgres, "delegation-svc"} {
		if err := mw.Kill(part); err != nil {
			t.Fatal(err)
		}
		if err := mw.Restart(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	succeeds(t, mw, change("alex@contoso.com", "delegate2@contoso.com"))
	if _, err := mw.Query(t.Context(), "SELECT FROM mailwright_views.operations"); err != nil {
		t.Error(err)
	}
	if err := mw.Kill("toaster"); err == nil {
		t.Error("killed what is not there")
	}
	if err := mw.JetStream.DeleteStream(t.Context(), topology.StreamCommands); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { // a container tells others which check fails, and only itself why
		err := stack.Answers(t.Context(), mw.Endpoints.Services["delegation-svc"]+"/readyz", "")
		return err != nil && strings.Contains(err.Error(), `"streams":`) && !strings.Contains(err.Error(), `"streams":"ok"`)
	})
}

// TestProjectionsAlone: no worker makes the streams that projection-svc waits for.
func TestProjectionsAlone(t *testing.T) {
	t.Parallel()
	mw := start(t, testkit.WithServices("projection-svc"))
	cmd := change("alex@contoso.com", "megan.bowen@contoso.com")
	if err := mw.Publish(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if _, err := mw.AwaitRows(t.Context(), `SELECT FROM mailwright_views.operations WHERE operation_id = $1 AND state = 'received'`, cmd.OperationID()); err != nil {
		t.Error(err)
	}
}

// TestOwnServers lets services work with a NATS and a Postgres that the test brought along.
func TestOwnServers(t *testing.T) {
	t.Parallel()
	var opts []testkit.Option
	if backend == testkit.Containers {
		opts = ownContainers(t)
	} else {
		opts = ownServers(t)
	}
	mw := start(t, append(opts, testkit.WithServices("delegation-svc", "projection-svc"))...)
	cmd := change("alex@contoso.com", "megan.bowen@contoso.com")
	succeeds(t, mw, cmd)
	if _, err := mw.AwaitRows(t.Context(), `SELECT FROM mailwright_views.operations WHERE operation_id = $1 AND state = 'succeeded'`, cmd.OperationID()); err != nil {
		t.Error(err)
	}
	if err := mw.Kill(testkit.NATS); err == nil {
		t.Error("killed a server that is not testkit's")
	}
}

func ownServers(t *testing.T) []testkit.Option {
	t.Helper()
	nats, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	dir, err := os.MkdirTemp("", "mailwright-own-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user
		t.Fatal(err)
	}
	postgres, err := embedded.StartPostgres(t.Context(), embedded.PostgresConfig{Dir: dir, Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = postgres.Stop() })
	return []testkit.Option{testkit.WithNATS(testkit.Server{URL: nats.URL()}), testkit.WithPostgres(testkit.Server{URL: postgres.URL()})}
}

// ownContainers are of a first system without anything of Mailwright's, on a network that the
// second one joins.
func ownContainers(t *testing.T) []testkit.Option {
	t.Helper()
	first := start(t, testkit.WithoutSandbox())
	own, err := tcnats.Run(t.Context(), testkit.NATSImage, testcontainers.WithLabels(testkit.Labels()), network.WithNetworkName([]string{"events"}, first.Network),
		testcontainers.WithCmd("--jetstream", "--store_dir", "/data"))
	testcontainers.CleanupContainer(t, own)
	if err != nil {
		t.Fatal(err)
	}
	events, err := own.ConnectionString(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inside, err := url.Parse(first.Endpoints.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	inside.Host = testkit.Postgres + ":5432"
	return []testkit.Option{
		testkit.WithNetwork(first.Network), testkit.WithNATS(testkit.Server{URL: events, Inside: "nats://events:4222"}),
		testkit.WithPostgres(testkit.Server{URL: first.Endpoints.Postgres, Inside: inside.String()}),
	}
}

func TestServersAlone(t *testing.T) {
	t.Parallel()
	mw := testkit.Start(t, testkit.WithBackend(testkit.Embedded), testkit.WithoutSandbox())
	cmd := change("alex@contoso.com", "megan.bowen@contoso.com")
	if err := mw.Publish(t.Context(), cmd, cmd); err != nil {
		t.Fatal(err)
	}
	stream, err := mw.JetStream.Stream(t.Context(), topology.StreamCommands)
	// the record answers a repetition, not the stream
	if err != nil || stream.CachedInfo().State.Msgs != 2 {
		t.Errorf("%v: %d commands are stored, want both", err, stream.CachedInfo().State.Msgs)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = mw.AwaitOutcome(ctx, cmd)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no service has taken it up") {
		t.Errorf("without services: %v", err)
	}
	if rows, err := mw.Query(t.Context(), "SELECT * FROM mailwright_views.operations"); err != nil || len(rows) != 0 {
		t.Errorf("%v, %v", rows, err)
	}

	if err := mw.Kill(testkit.NATS); err != nil {
		t.Fatal(err)
	}
	if err := mw.Restart(t.Context(), testkit.NATS); err != nil {
		t.Fatal(err)
	}
	if err := mw.Publish(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 3 {
		t.Errorf("NATS has not come back with what it had: %v", err)
	}
}

func TestCommandsAreValidAndKeyed(t *testing.T) {
	t.Parallel()
	user := event.ObjectCreateData{CreateIn: "OU=x,DC=y", ObjectType: "user", Properties: []event.Property{
		{Name: "cn", Type: json.RawMessage(`"String"`), Values: []json.RawMessage{json.RawMessage(`"Nadia"`)}},
	}}
	for key, cmd := range map[string]testkit.Command{
		"nadia":            testkit.NewCommand(user),
		"a@b.c":            testkit.NewCommand(event.BusinessUserCreateData{Container: "LDAP://OU=x", UserPrincipalName: "A@b.c", PreferredDomainController: "dc"}),
		"cn=nadia,dc=y":    testkit.NewCommand(event.MailboxCreateData{DirectoryObject: "CN=Nadia,DC=y", Parameters: event.MailboxParameters{Alias: "n"}}),
		"set@contoso.com":  testkit.NewCommand(event.DelegationSetData{Mailbox: "Set@contoso.com", Delegates: []string{}}),
		"alex@contoso.com": change("Alex@contoso.com", "b@contoso.com"),
		"all":              testkit.NewCommand(event.DelegationReadData{}),
		"contoso":          testkit.NewCommand(event.InventorySyncData{Tenant: "contoso"}),
	} {
		if faults := event.Check(cmd.Event); len(faults) > 0 {
			t.Errorf("%s: %v", cmd.Type(), faults)
		}
		if _, r, err := cmd.Message(); err != nil || r.Key != key {
			t.Errorf("%s: key %q, want %q, %v", cmd.Type(), r.Key, key, err)
		}
	}
}
