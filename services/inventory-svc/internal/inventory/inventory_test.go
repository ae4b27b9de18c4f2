package inventory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/worker"
	"github.com/mailwright/mailwright/services/inventory-svc/internal/inventory"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sandboxtest.Clean()
	os.Exit(code)
}

const (
	eventTimeout = 5 * time.Minute
	partitions   = 2
	source       = "/test"
	contoso      = stack.SandboxTenant
)

// env is NATS with our streams, and a vendor.
type env struct {
	*testing.T
	url    string
	js     jetstream.JetStream
	vendor string // URL
}

func newEnv(t *testing.T, vendor string) *env {
	t.Helper()
	server, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	b := &env{T: t, url: server.URL(), vendor: vendor}
	b.js = b.connect()
	if err := topology.Ensure(t.Context(), b.js, topology.Config{Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *env) connect() jetstream.JetStream {
	b.Helper()
	nc, err := nats.Connect(b.url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	return js
}

// serve runs a replica of the service until the function that it returns is called; kill breaks its
// calls off, as the end of its process does.
func (b *env) serve() (kill func()) {
	b.Helper()
	dir := b.TempDir()
	for name, text := range stack.SandboxConfig(stack.SandboxAddress{URL: b.vendor}) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	tenants, err := tenant.Load(filepath.Join(dir, stack.ConfigFile))
	if err != nil {
		b.Fatal(err)
	}
	js := b.connect()
	cfg := &worker.Config{VendorTimeout: 5 * time.Second}
	handlers, err := inventory.Handlers(worker.Dependencies{Config: cfg, Tenants: tenants, JS: js, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if err := worker.CheckHandlers(event.DomainInventory, handlers); err != nil {
		b.Error(err)
	}
	engine, err := operation.New(b.Context(), operation.Config{
		Domain: event.DomainInventory, Handlers: handlers, JS: js, Log: slog.New(slog.DiscardHandler), CallTimeout: 3 * time.Second, ParkAfter: 200 * time.Millisecond,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	return func() { js.Conn().Close(); cancel() }
}

// publish publishes a sync on a key of its own, and gives its operation.
func (b *env) publish(id, data string) string {
	b.Helper()
	e, err := event.New(id, source, event.TypeInventorySync, json.RawMessage(data))
	if err != nil {
		b.Fatal(err)
	}
	event.Extend(&e, event.Attribute{Name: event.AttrTenantID, Value: contoso})
	header, body, err := event.Encode(e, event.Binary)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.js.PublishMsg(b.Context(), &nats.Msg{Subject: topology.CommandSubject("contoso", event.DomainInventory, id), Header: header, Data: body}); err != nil {
		b.Fatal(err)
	}
	return event.OperationID("contoso", source, id)
}

// eventually waits until a condition holds.
func (b *env) eventually(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(eventTimeout); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("not in time: " + what)
		}
	}
}

// outcome waits for the end of a sync.
func (b *env) outcome(operationID string) event.SyncCompletedData {
	b.Helper()
	var e event.Event
	b.eventually("outcome of "+operationID, func() bool {
		e = b.last(topology.StreamEvents, topology.EventSubject("contoso", event.DomainInventory, operationID))
		state, ok := event.StateOf(e)
		return ok && state.Terminal()
	})
	var data event.SyncCompletedData
	if err := e.DataAs(&data); err != nil || e.Type() != event.TypeSyncCompleted {
		b.Fatalf("%s %s: %v", e.Type(), e.Data(), err)
	}
	b.valid(e)
	return data
}

// last reads a subject's last event; the zero event if there is none.
func (b *env) last(stream, subject string) event.Event {
	b.Helper()
	s, err := b.js.Stream(b.Context(), stream)
	if err != nil {
		b.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(b.Context(), subject)
	if err != nil {
		return event.Event{}
	}
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func (b *env) valid(e event.Event) {
	b.Helper()
	if faults := event.Check(e); len(faults) > 0 {
		b.Errorf("%s does not fit its schema: %v", e.Type(), faults)
	}
}

// observations reads all of MAILBOXES, by subject; written is how many messages were ever stored
// there.
func (b *env) observations() (list map[string]event.Event, written uint64) {
	b.Helper()
	s, err := b.js.Stream(b.Context(), topology.StreamMailboxes)
	if err != nil {
		b.Fatal(err)
	}
	info, err := s.Info(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	list = map[string]event.Event{}
	for sequence := info.State.FirstSeq; sequence <= info.State.LastSeq && info.State.Msgs > 0; sequence++ {
		m, err := s.GetMsg(b.Context(), sequence)
		if err != nil {
			continue // replaced
		}
		e, err := event.Decode(m.Header, m.Data)
		if err != nil {
			b.Fatal(err)
		}
		b.valid(e)
		list[m.Subject] = e
	}
	return list, info.State.LastSeq
}

// changes gives the observations of an operation, by what happened.
func changes(list map[string]event.Event, operationID string) map[string][]event.Event {
	by := map[string][]event.Event{}
	for _, e := range list {
		if event.Extension(e, event.AttrOperationID) == operationID {
			change := event.Extension(e, event.AttrMailboxChange)
			by[change] = append(by[change], e)
		}
	}
	return by
}

// numbers leaves a result's counts.
var numbers = cmp.Options{cmpopts.IgnoreFields(event.SyncCompletedData{}, "Operation", "StartedAt", "CompletedAt")}

func (b *env) want(what string, got, want event.SyncCompletedData) {
	b.Helper()
	want.MailboxType = "all"
	if d := cmp.Diff(want, got, numbers); d != "" {
		b.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// stub is a vendor whose pages the test writes.
type stub struct {
	*httptest.Server
	pages atomic.Pointer[[]string]
	asked atomic.Int32
}

// newStub answers with pages, each the rows of a JSON array.
func newStub(t *testing.T, pages ...string) *stub {
	t.Helper()
	s := &stub{}
	s.pages.Store(&pages)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/connect/token") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"T","expires_in":3600}`)
			return
		}
		s.asked.Add(1)
		pages, n := *s.pages.Load(), 0
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &n)
		next := ""
		if n+1 < len(pages) {
			next = fmt.Sprintf("?page=%d", n+1)
		}
		_, _ = fmt.Fprintf(w, `{"mailboxes":[%[1]s],"resourceMailboxes":[%[1]s],"nextLink":%[2]q}`, pages[n], next)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *stub) show(pages ...string) { s.pages.Store(&pages) }

func marshal(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
