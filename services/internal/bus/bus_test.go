package bus_test

import (
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// testServer is a test's own NATS server. It can be restarted on the same port and files.
type testServer struct {
	tb  testing.TB
	dir string

	mu     sync.Mutex
	server *embedded.NATS
}

func startServer(tb testing.TB) *testServer {
	tb.Helper()
	s := &testServer{tb: tb, dir: tb.TempDir()}
	s.start(0)
	tb.Cleanup(func() { s.server.Shutdown() })
	return s
}

func (s *testServer) start(port int) {
	server, err := embedded.StartNATS(embedded.NATSConfig{Port: port, StoreDir: s.dir})
	if err != nil {
		s.tb.Error(err)
		return
	}
	s.server = server
}

func (s *testServer) url() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server.URL()
}

// restart stops the server and starts it again on the same port and files.
func (s *testServer) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := url.Parse(s.server.URL())
	if err != nil {
		s.tb.Error(err)
		return
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		s.tb.Error(err)
		return
	}
	s.server.Shutdown()
	s.start(port)
}

func (s *testServer) connect(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	nc, err := bus.Connect(tb.Context(), s.url(), tb.Name(), quiet)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return must(jetstream.New(nc))(tb)
}

// startJetStream starts a server and connects to it.
func startJetStream(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	return startServer(tb).connect(tb)
}

// createStream creates a stream of the subjects <name>.> with the server's defaults.
func createStream(tb testing.TB, js jetstream.JetStream, name string) {
	tb.Helper()
	must(js.CreateStream(tb.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}}))(tb)
}

func publish(tb testing.TB, js jetstream.JetStream, subject, data string) {
	tb.Helper()
	must(js.Publish(tb.Context(), subject, []byte(data)))(tb)
}

func publishMsg(tb testing.TB, js jetstream.JetStream, m *nats.Msg) {
	tb.Helper()
	must(js.PublishMsg(tb.Context(), m))(tb)
}

// publishMany publishes n messages without waiting for each.
func publishMany(tb testing.TB, js jetstream.JetStream, subject string, n int, data []byte) {
	tb.Helper()
	for range n {
		must(js.PublishAsync(subject, data, jetstream.WithStallWait(time.Minute)))(tb)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		tb.Fatal("publishing did not complete")
	}
}

// must(f())(tb) is f's value, or the end of the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// eventually waits until a condition is true.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	eventuallyWithin(tb, 20*time.Second, what, condition)
}

func eventuallyWithin(tb testing.TB, timeout time.Duration, what string, condition func() bool) {
	tb.Helper()
	deadline := time.After(timeout)
	for !condition() {
		select {
		case <-deadline:
			tb.Fatalf("not within %v: %s", timeout, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

var quiet = slog.New(slog.DiscardHandler)
