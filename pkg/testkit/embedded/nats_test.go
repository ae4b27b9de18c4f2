package embedded_test

import (
	"context"
	"net/url"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/testkit/embedded"
)

func TestNATSKeepsWhatItStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: dir, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	js := dial(t, first.URL())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	port := port(t, first.URL())

	if second, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: t.TempDir(), Port: port}); err == nil {
		second.Shutdown()
		t.Fatal("two servers on one port")
	}

	first.Shutdown()
	again, err := embedded.StartNATS(embedded.NATSConfig{StoreDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Shutdown()
	stream, err := dial(t, again.URL()).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(context.Background(), 1)
	if err != nil || string(m.Data) != "kept" {
		t.Fatalf("after the restart: %v, %v", m, err)
	}
}

func TestNATSNeedsAStore(t *testing.T) {
	t.Parallel()
	if s, err := embedded.StartNATS(embedded.NATSConfig{}); err == nil {
		s.Shutdown()
		t.Fatal("started without a StoreDir")
	}
}

func dial(t *testing.T, natsURL string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(natsURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func port(t *testing.T, natsURL string) int {
	t.Helper()
	u, err := url.Parse(natsURL)
	if err != nil {
		t.Fatal(err)
	}
	if u.Hostname() != "127.0.0.1" {
		t.Fatalf("listens on %s, not on the loopback interface", u.Hostname())
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
