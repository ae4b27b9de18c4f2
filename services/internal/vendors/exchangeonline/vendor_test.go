package exchangeonline_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

const (
	tenant    = "6f1d9c2e-8a37-4c55-9a41-2b7e0d3f5c10"
	path      = "/adminapi/v2.0/" + tenant + "/Mailbox"
	orgAnchor = "APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@" + tenant
	hush      = "hush"
	page      = "testdata/page.json"
)

// exchange is one request that the vendor got.
type exchange struct {
	Method, Path, Query, Anchor, ContentType, Authorization string
	Body                                                    string
}

// reply is one answer of the vendor.
type reply struct {
	status int
	body   string
	header map[string]string
}

// vendor answers with its replies in turn, the last of them for ever, and keeps the requests.
type vendor struct {
	*httptest.Server
	mu      sync.Mutex
	got     []exchange
	replies []reply
}

func newVendor(t *testing.T, replies ...reply) *vendor {
	t.Helper()
	v := &vendor{replies: replies}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/token" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"token_type":"Bearer","expires_in":3599,"access_token":"hush-token"}`))
		return
	}
	body, _ := io.ReadAll(req.Body)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.got = append(v.got, exchange{
		Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery, Anchor: req.Header.Get("X-AnchorMailbox"),
		ContentType: req.Header.Get("Content-Type"), Authorization: req.Header.Get("Authorization"), Body: string(body),
	})
	r := v.replies[min(len(v.got), len(v.replies))-1]
	for name, value := range r.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(strings.ReplaceAll(r.body, "{{base}}", v.URL)))
}

// requests are the requests so far.
func (v *vendor) requests() []exchange {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]exchange(nil), v.got...)
}

func (v *vendor) config() exchangeonline.Config {
	return exchangeonline.Config{
		BaseURL: v.URL, TenantID: tenant, TokenURL: v.URL + "/token", ClientID: "app", ClientSecret: secret.New(hush + "-secret"),
	}
}

func (v *vendor) client(t *testing.T) *exchangeonline.Client {
	t.Helper()
	c, err := exchangeonline.New(v.config())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func file(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// jsonEqual fails unless both texts are the same JSON.
func jsonEqual(t *testing.T, want, got string) {
	t.Helper()
	var w, g any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v in %q", err, got)
	}
	if d := cmp.Diff(w, g); d != "" {
		t.Error(d)
	}
}
