package tenant_test

import (
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestAChangedFileMakesANewClient: a secret and the authorities of a vendor are read again when
// their files change, and what cannot be used leaves the former client.
func TestAChangedFileMakesANewClient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tokens := make(chan string, 1000)
	vendor := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get("Adm-Authorization")
		http.NotFound(w, r)
	}))
	own := filepath.Join(dir, "own")
	issue := func(o certs.Options) {
		t.Helper()
		authority, err := certs.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := authority.Issue(own, "vendor", "127.0.0.1"); err != nil {
			t.Fatal(err)
		}
	}
	issue(certs.Options{})
	// not by StartTLS, which shows a certificate of its own to who asks by an address
	vendor.Listener = tls.NewListener(vendor.Listener, certs.ServerConfig(filepath.Join(own, certs.CertFile), filepath.Join(own, certs.KeyFile)))
	vendor.Config.ErrorLog = log.New(io.Discard, "", 0)
	vendor.Start()
	t.Cleanup(vendor.Close)
	url := strings.Replace(vendor.URL, "http:", "https:", 1)
	put := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("token", "first-token\n")
	put("mailwright.yaml", "tenants:\n  a:\n    adaxes: {url: '"+url+"', token: {file: token}, ca: ca.crt}\n")
	tenants, err := tenant.Load(filepath.Join(dir, "mailwright.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	clients, err := tenant.Connect(tenants, adaxes.Vendor, slog.New(slog.NewTextHandler(&said, nil)),
		func(t *tenant.Tenant) *tenant.Adaxes { return t.Adaxes },
		func(a *tenant.Adaxes) (*adaxes.Client, error) { return adaxes.New(a.Client(transport.Config{})) })
	if err != nil {
		t.Fatal(err)
	}
	// sent is the token that the vendor gets; "" if the client does not trust it.
	sent := func() string {
		t.Helper()
		client, _, err := clients.For("a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Search(t.Context(), adaxes.Query{Property: "sAMAccountName", Value: "x"}); err == nil {
			t.Error("the vendor's 404 is no failure")
		}
		select {
		case token := <-tokens:
			return token
		default:
			return ""
		}
	}
	if got := sent(); got != "first-token" {
		t.Errorf("sent %q", got)
	}
	put("token", "\n")
	until(t, "the empty token is refused", func() bool { return sent() == "first-token" && strings.Contains(said.String(), "stays in use") })
	put("token", "second-token\n")
	until(t, "the second token is sent", func() bool { return sent() == "second-token" })
	vendor.CloseClientConnections()
	if err := os.Rename(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "before.crt")); err != nil {
		t.Fatal(err)
	}
	issue(certs.Options{})
	until(t, "a new authority is trusted", func() bool {
		vendor.CloseClientConnections()
		return sent() == "second-token" && strings.Count(said.String(), "was read again") >= 2
	})
	if strings.Contains(said.String(), "first-token") || strings.Contains(said.String(), "second-token") {
		t.Errorf("the log has a token:\n%s", said.String())
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", what)
		}
	}
}

func TestAuthoritiesThatAreNone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ca: token":   "token holds no certificate in PEM",
		"ca: missing": "no such file",
		"ca: {a: b}":  "line 3",
	} {
		_, err := load(t, "tenants:\n  a:\n    adaxes: {url: 'https://x', token: {file: token}, "+text+"}\n")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
