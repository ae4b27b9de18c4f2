package adaxes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// request is what the vendor saw.
type request struct {
	Method, URI string
	Header      http.Header
	Body        []byte
}

// vendor is a server that records each request and answers as it is told.
type vendor struct {
	URL string

	mu   sync.Mutex
	seen []request
}

func newVendor(t testing.TB, answer http.HandlerFunc) *vendor {
	v := &vendor{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		v.mu.Lock()
		v.seen = append(v.seen, request{r.Method, r.RequestURI, r.Header, body})
		v.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	v.URL = server.URL + "/restApi"
	return v
}

func (v *vendor) requests() []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen
}

// says answers every request alike.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const token = "HxtdAPz73OFfae7w7lQvxjJHIbVqgkCtPtLD"

func newClient(t testing.TB, url string) *adaxes.Client {
	t.Helper()
	c, err := adaxes.New(adaxes.Config{BaseURL: url, Token: secret.New(token)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answering returns a client whose every call gets one answer, without a network.
func answering(t testing.TB, status int, body []byte) *adaxes.Client {
	t.Helper()
	c, err := adaxes.New(adaxes.Config{BaseURL: "http://vendor.test/restApi", Token: secret.New(token), HTTP: transport.Config{
		RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantJSON compares two JSON texts by meaning, numbers digit by digit.
func wantJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	if diff := cmp.Diff(decode(t, want), decode(t, string(got))); diff != "" {
		t.Errorf("body (-page +ours):\n%s", diff)
	}
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// wantHidden fails if any way of printing the values shows one of the secrets.
func wantHidden(t *testing.T, secrets []string, values ...any) {
	t.Helper()
	for _, v := range values {
		j, _ := json.Marshal(v)
		printed := fmt.Sprintf("%v %+v %#v %s %q %s", v, v, v, v, v, j)
		if err, ok := v.(error); ok {
			printed += err.Error()
		}
		for _, s := range secrets {
			if strings.Contains(printed, s) {
				t.Errorf("%T shows the secret %q: %+v", v, s, v)
			}
		}
	}
}

// body200 answers every request with 200 and the body.
func body200(body string) roundTripper {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}
