package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
)

const day = 24 * time.Hour

// issued opens the authority of dir at a time, and issues a certificate. It fails the test if the
// certificate does not verify for the host then.
func issued(t *testing.T, dir string, o certs.Options, hosts ...string) (leaf *x509.Certificate, renewed bool) {
	t.Helper()
	authority, err := certs.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "own")
	if renewed, err = authority.Issue(own, "nats", hosts...); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(own, certs.CertFile), filepath.Join(own, certs.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool(t, own), CurrentTime: o.Now}); err != nil {
			t.Error(err)
		}
	}
	return pair.Leaf, renewed
}

func pool(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, certs.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(text)
	return p
}

func TestACertificateIsRenewed(t *testing.T) {
	t.Parallel()
	dir, start := t.TempDir(), time.Now()
	for _, c := range []struct {
		name    string
		o       certs.Options
		hosts   []string
		renewed bool
	}{
		{"the first", certs.Options{Now: start}, []string{"nats", "127.0.0.1"}, true},
		{"a day later", certs.Options{Now: start.Add(day)}, []string{"nats", "127.0.0.1"}, false},
		{"for another host", certs.Options{Now: start.Add(day)}, []string{"nats", "::1"}, true},
		{"near its expiry", certs.Options{Now: start.Add(70 * day)}, []string{"nats", "::1"}, true},
		{"of another authority", certs.Options{Now: start.Add(71 * day), Replace: true}, []string{"nats", "::1"}, true},
		{"near the authority's expiry", certs.Options{Now: start.Add(5*365*day + 50*day)}, []string{"nats", "::1"}, true},
	} {
		if _, renewed := issued(t, dir, c.o, c.hosts...); renewed != c.renewed {
			t.Errorf("%s: renewed %v", c.name, renewed)
		}
	}
}

// TestAnEarlierAuthorityIsTrusted until it expires.
func TestAnEarlierAuthorityIsTrusted(t *testing.T) {
	t.Parallel()
	dir, start := t.TempDir(), time.Now()
	first, _ := issued(t, dir, certs.Options{Now: start}, "nats")
	later := start.Add(day)
	if second, _ := issued(t, dir, certs.Options{Now: later, Replace: true}, "nats"); second.Equal(first) {
		t.Error("the certificate of the earlier authority stays")
	}
	if _, err := first.Verify(x509.VerifyOptions{DNSName: "nats", Roots: pool(t, dir), CurrentTime: later}); err != nil {
		t.Error(err)
	}
	issued(t, dir, certs.Options{Now: start.Add(6 * 365 * day)}, "nats")
	text, err := os.ReadFile(filepath.Join(dir, certs.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, rest := pem.Decode(text); len(rest) > 0 {
		t.Error("an authority that has expired is still named")
	}
}

func TestWhoMayReadAKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mode := func(file string) os.FileMode {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	issued(t, dir, certs.Options{}, "nats")
	if own, authority := mode("own/tls.key"), mode("ca.key"); own != 0o600 || authority != 0o600 {
		t.Errorf("the key has %o, the authority's %o", own, authority)
	}
	issued(t, dir, certs.Options{Shared: true}, "nats", "other")
	if own, authority := mode("own/tls.key"), mode("ca.key"); own != 0o644 || authority != 0o600 {
		t.Errorf("shared: the key has %o, the authority's %o", own, authority)
	}
}
