package transport_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// mirror answers with every header of the request and its body, in its body and in its own headers.
type mirror struct{}

func (mirror) RoundTrip(r *http.Request) (*http.Response, error) {
	var seen strings.Builder
	for name := range r.Header {
		seen.WriteString(r.Header.Get(name) + " ")
	}
	body, err := io.ReadAll(r.Body)
	seen.Write(body)
	return &http.Response{
		StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"https://%zz/?" + seen.String()}, "Request-Id": {seen.String()}},
		Body: io.NopCloser(strings.NewReader(seen.String())),
	}, err
}

// TestNoAnswerBringsOurCredentialsBack is about the one place where a vendor's answer enters:
// whatever a client does with it later, its own credentials are not in it.
func TestNoAnswerBringsOurCredentialsBack(t *testing.T) {
	t.Parallel()
	basic := base64.StdEncoding.EncodeToString([]byte("user:hunter2-pass"))
	for name, header := range map[string][2]string{
		"bearer": {"Authorization", "Bearer hunter2-token"}, "basic": {"Authorization", "Basic " + basic}, "Adaxes": {"Adm-Authorization", "hunter2-token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := transport.New(transport.Config{Vendor: "v", RoundTripper: mirror{}, Secrets: []secret.String{secret.New("hunter2-client")}})
			req, err := transport.JSON(http.MethodPost, "http://vendor.example/", []byte(`{"secret":"hunter2-client","password":"hunter2-body","name":"Zoe"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(header[0], header[1])
			res, err := client.Do(t.Context(), transport.Write, req, secret.New("hunter2-body"))
			if err != nil {
				t.Fatal(err) // a redirect is an answer, wherever it points
			}
			shown := fmt.Sprint(res.Header) + string(res.Body)
			if strings.Contains(shown, "hunter2") || strings.Contains(shown, basic) {
				t.Error(shown)
			}
			if !strings.Contains(string(res.Body), "Zoe") {
				t.Errorf("more than the secrets is gone: %s", res.Body)
			}
		})
	}
}

// countingConn counts the writes of one connection.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestARequestIsOneWrite: with its headers in a packet of their own, each request costs the vendor
// and us a system call more.
func TestARequestIsOneWrite(t *testing.T) {
	t.Parallel()
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	t.Cleanup(vendor.Close)
	var writes atomic.Int64
	client := transport.New(transport.Config{Vendor: "v", RoundTripper: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return countingConn{conn, &writes}, err
		},
	}})
	for _, effect := range []transport.Effect{transport.Read, transport.Write} {
		req, err := transport.JSON(http.MethodPost, vendor.URL, []byte(`{"name":"Zoe"}`))
		if err != nil {
			t.Fatal(err)
		}
		writes.Store(0)
		res, err := client.Do(t.Context(), effect, req)
		if err != nil {
			t.Fatal(err)
		}
		if string(res.Body) != `{"name":"Zoe"}` || writes.Load() != 1 {
			t.Errorf("%d writes, the body arrived as %q", writes.Load(), res.Body)
		}
	}
}

// TestSpans is not parallel: the provider of spans is the process's.
func TestSpans(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdk.NewTracerProvider(sdk.WithSyncer(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	client := transport.New(transport.Config{Vendor: "v", RoundTripper: mirror{}})
	req, err := transport.JSON(http.MethodPost, "http://vendor.example/path?token=hunter2", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(context.Background(), transport.Read, req); err != nil {
		t.Fatal(err)
	}
	got := spans.GetSpans()
	if len(got) != 1 || got[0].Name != "v POST" {
		t.Fatalf("spans: %v", got)
	}
	shown := fmt.Sprint(got[0].Attributes)
	if strings.Contains(shown, "hunter2") {
		t.Errorf("the span shows the query: %s", shown)
	}
	for _, want := range []string{"vendor.example", "/path", "307"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the span does not show %s: %s", want, shown)
		}
	}
}
