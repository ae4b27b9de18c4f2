package bus_test

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// secured is a server with TLS that admits one user by its nkey.
type secured struct {
	*testing.T
	port   int
	server *embedded.NATS
}

func (s *secured) start(certificates, user string) {
	s.Helper()
	config := certs.ServerConfig(filepath.Join(certificates, certs.CertFile), filepath.Join(certificates, certs.KeyFile))
	server, err := embedded.StartServer(&server.Options{
		Host: "127.0.0.1", Port: s.port, TLSConfig: config, Nkeys: []*server.NkeyUser{{Nkey: user}},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.server = server
	u, err := url.Parse(server.URL())
	if err != nil {
		s.Fatal(err)
	}
	s.port, err = strconv.Atoi(u.Port())
	if err != nil {
		s.Fatal(err)
	}
}

// newSeed writes the seed of a new user into a file, and gives its public key.
func newSeed(t *testing.T, file string) (public, seed string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return public, string(text)
}

// TestAConnectionTakesWhatItsFilesHoldNow replaces the user's key, the server's certificate and its
// authority, while one connection goes on.
func TestAConnectionTakesWhatItsFilesHoldNow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seedFile, authorityDir, nats := filepath.Join(dir, "seed"), filepath.Join(dir, "authority"), filepath.Join(dir, "nats")
	issue := func(o certs.Options) {
		t.Helper()
		authority, err := certs.Open(authorityDir, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := authority.Issue(nats, "nats", "127.0.0.1"); err != nil {
			t.Fatal(err)
		}
	}
	issue(certs.Options{})
	user, seed := newSeed(t, seedFile)
	s := &secured{T: t, port: server.RANDOM_PORT}
	s.start(nats, user)
	t.Cleanup(func() { s.server.Shutdown() })

	var log lockedBuffer
	flags := bus.ConnFlags{NATSURL: s.server.URL(), AuthFlags: bus.AuthFlags{NATSNKey: seedFile, NATSCA: filepath.Join(authorityDir, certs.CAFile)}}
	nc, _, err := flags.Connect(t.Context(), "test", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)

	s.server.Shutdown()
	second, secondSeed := newSeed(t, seedFile)
	issue(certs.Options{Replace: true})
	s.start(nats, second)
	eventually(t, "the connection comes back by another key, to a certificate of another authority", func() bool {
		return strings.Contains(log.String(), "connected to NATS again")
	})
	state, err := nc.TLSConnectionState()
	if err != nil {
		t.Fatal(err)
	}
	newest, err := os.ReadFile(filepath.Join(nats, certs.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pemBytes(t, newest), state.PeerCertificates[0].Raw) {
		t.Error("the server shows its earlier certificate")
	}
	for _, want := range []string{"--nats-nkey changed", "--nats-ca changed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), seed) || strings.Contains(log.String(), secondSeed) {
		t.Error("the log has a seed")
	}
}

func pemBytes(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}
