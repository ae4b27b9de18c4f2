package process

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
)

// issue makes a certificate for loopback and gives the flags that name it; dir keeps the authority.
func issue(t *testing.T, dir string, o certs.Options) HTTPFlags {
	t.Helper()
	authority, err := certs.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "own")
	if _, err := authority.Issue(own, "test", "localhost"); err != nil {
		t.Fatal(err)
	}
	return HTTPFlags{HTTPCert: filepath.Join(own, certs.CertFile), HTTPKey: filepath.Join(own, certs.KeyFile)}
}

// TestHTTPSShowsTheNewestCertificate: the health check trusts the program's own certificate alone,
// which names another host, and a renewed one is shown without a restart.
func TestHTTPSShowsTheNewestCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flags := issue(t, dir, certs.Options{})
	cfg := &Config{HTTP: "127.0.0.1:0", HTTPFlags: flags, StopTimeout: time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, "test", cfg, func(ctx context.Context, p *Process, _ *Config) error {
		defer cancel()
		p.Check("nothing", func(context.Context) error { return nil })
		address, https := strings.CutPrefix(p.URL(), "https://")
		if !https {
			t.Errorf("the endpoints are at %s", p.URL())
		}
		for range 2 {
			if err := Healthcheck(ctx, address, flags); err != nil {
				t.Errorf("health check: %v", err)
			}
			serial := shown(t, dir, address)
			issue(t, dir, certs.Options{Replace: true})
			if shown(t, dir, address) == serial {
				t.Error("a renewed certificate is not shown")
			}
		}
		if err := Healthcheck(ctx, address, issue(t, t.TempDir(), certs.Options{})); err == nil {
			t.Error("the health check takes a certificate that is not the program's own")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// shown is the serial number of the certificate that a server shows to a client that knows the
// authority of dir.
func shown(t *testing.T, dir, address string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, certs.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestACertificateNeedsItsKey(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]HTTPFlags{
		"--http-key":   {HTTPCert: "cert.pem"},
		"--http-cert:": {HTTPCert: "cert.pem", HTTPKey: "key.pem"},
	} {
		if _, _, err := flags.Listen("127.0.0.1:0", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheNetworkIsNotToldWhatIsWrong: over plain HTTP only this machine reads what a check says.
func TestTheNetworkIsNotToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	p := &Process{Log: slog.New(slog.NewTextHandler(&log, nil))}
	p.Check("postgres", func(context.Context) error { return errors.New("db.internal is away") })
	for _, c := range []struct {
		from string
		tls  *tls.ConnectionState
		told bool
	}{
		{"10.1.2.3:4711", nil, false},
		{"[2001:db8::1]:4711", nil, false},
		{"127.0.0.1:4711", nil, true},
		{"[::ffff:127.0.0.1]:4711", nil, true},
		{"10.1.2.3:4711", &tls.ConnectionState{}, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/readyz", nil)
		r.RemoteAddr, r.TLS = c.from, c.tls
		w := httptest.NewRecorder()
		p.readyz(w, r)
		body := w.Body.String()
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(body, "postgres") || strings.Contains(body, "db.internal") != c.told {
			t.Errorf("%s, TLS %v: %d %s", c.from, c.tls != nil, w.Code, body)
		}
	}
	if n := strings.Count(log.String(), "db.internal is away"); n != 1 {
		t.Errorf("the log says %d times what is wrong:\n%s", n, log.String())
	}
}
