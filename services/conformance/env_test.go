package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Identifiers and credentials of the sandbox's default seed (docs/sandbox.md).
const (
	tenantID    = "3f2c8a10-7d54-4c1b-9e0a-5b6d7c8e9f01"
	entraClient = "a1b2c3d4-0001-4000-8000-000000000001"
	entraSecret = "entra-sandbox-secret"
	powerClient = "e0e0e0e0-0001-4000-8000-000000000001"
	powerSecret = "enpower-sandbox-secret"
	unit        = "OU=My Organizational Unit,DC=example,DC=com"
)

// env is what one vendor's suite runs against: a sandbox of its own, or a real vendor.
type env struct {
	*testing.T
	vendor  string
	url     string
	sandbox *sandboxtest.Sandbox // nil for a real vendor
	// real is the configuration of a real tenant; nil for the sandbox.
	real *tenant.Tenant
}

func newEnv(t *testing.T, vendor string) *env {
	b := &env{T: t, vendor: vendor}
	if path := os.Getenv("MAILWRIGHT_CONFORMANCE_CONFIG"); path != "" {
		tenants, err := tenant.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.real = tenants[os.Getenv("MAILWRIGHT_CONFORMANCE_TENANT")]; b.real == nil {
			t.Fatal("MAILWRIGHT_CONFORMANCE_TENANT names no tenant of MAILWRIGHT_CONFORMANCE_CONFIG")
		}
		return b
	}
	b.sandbox = sandboxtest.Start(t)
	b.url = b.sandbox.URL
	return b
}

// configured reports whether the real tenant has the suite's vendor.
func (b *env) configured() bool {
	switch b.vendor {
	case "adaxes":
		return b.real.Adaxes != nil
	case "exchangeonline":
		return b.real.ExchangeOnline != nil
	case "hostedexchange":
		return b.real.HostedExchange != nil
	default:
		return b.real.EnPower != nil
	}
}

// control calls the sandbox's control API and wants it to succeed.
func (b *env) control(method, path string, body, into any) {
	b.Helper()
	if err := b.sandbox.Do(b.Context(), method, path, body, into); err != nil {
		b.Fatalf("control %s %s: %v", method, path, err)
	}
}

func (b *env) reset() { b.Helper(); b.control(http.MethodPost, "reset", nil, nil) }

// reseed loads the default seed with one text replaced by another, until the test ends.
func (b *env) reseed(old, now string) {
	b.Helper()
	seed, err := os.ReadFile("../sandbox/internal/seed/default.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.control(http.MethodPost, "seed", bytes.Replace(seed, []byte(old), []byte(now), 1), nil)
	b.Cleanup(func() { _ = b.sandbox.Do(context.Background(), http.MethodPost, "seed", seed, nil) }) // if this fails, so do the calls of the next fact
}

func (b *env) set(name string, value any) {
	b.Helper()
	b.control(http.MethodPut, "switches", map[string]any{name: value}, nil)
}

func (b *env) advance(by string) {
	b.Helper()
	b.control(http.MethodPost, "clock", map[string]string{"advance": by}, nil)
}

// apply applies a fault script of testdata/faults, to the given vendor and call if they are not
// empty.
func (b *env) apply(script, vendor, call string) {
	b.Helper()
	s, err := sandboxapi.ReadScript(filepath.Join("testdata", "faults", script+".yaml"))
	if err != nil {
		b.Fatal(err)
	}
	if err := b.sandbox.Apply(b.Context(), s.At(vendor, call)); err != nil {
		b.Fatal(err)
	}
}

// calls counts the calls of a name that the sandbox received, and those of them that changed the
// tenant.
func (b *env) calls(name string) (received, committed int) {
	b.Helper()
	var page struct{ Entries []struct{ Committed bool } }
	b.control(http.MethodGet, "journal?limit=0&call="+url.QueryEscape(name), nil, &page)
	for _, e := range page.Entries {
		received++
		if e.Committed {
			committed++
		}
	}
	return received, committed
}

// exists reports whether the tenant has an object of a kind whose identity contains a text.
func (b *env) exists(kind, match string) bool {
	b.Helper()
	var page map[string]json.RawMessage
	b.control(http.MethodGet, "objects?kind="+kind+"&match="+url.QueryEscape(match), nil, &page)
	var rows []json.RawMessage
	if err := json.Unmarshal(page[kind], &rows); err != nil {
		b.Fatal(err)
	}
	return len(rows) > 0
}

// answering returns the address of a vendor that answers requests with these pages in turn, and
// then with the last page again and again. HOST in a page stands for the server's own address.
func (b *env) answering(pages []string) (url string) {
	var page atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := min(int(page.Add(1)), len(pages)) - 1
		_, _ = fmt.Fprint(w, strings.ReplaceAll(pages[n], "HOST", "http://"+r.Host))
	}))
	b.Cleanup(server.Close)
	return server.URL
}

// elsewhere returns the address of a server that nobody should call, and the number of its
// requests.
func (b *env) elsewhere() (url string, asked *atomic.Int64) {
	asked = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	b.Cleanup(server.Close)
	return server.URL, asked
}

// http is the configuration of the clients. The circuit breaker is off, since faults are made on
// purpose.
func (b *env) http() transport.Config {
	return transport.Config{Timeout: 20 * time.Second, Limits: transport.Limits{BreakAfter: -1}}
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   string
}

// send asks the vendor without our client; header holds name, value pairs.
func (b *env) send(method, path, body string, header ...string) (answer, error) {
	b.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	r, err := http.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}

// answers checks that an answer has a status, and a body that contains every part.
func answers(a answer, err error, status int, parts ...string) error {
	if err != nil {
		return err
	}
	if a.status != status {
		return fmt.Errorf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			return fmt.Errorf("there is no %s in %.600s", part, a.body)
		}
	}
	return nil
}
