package transport_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/lease"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// TestNoRequestLeavesWithoutItsLease: a process that was paused goes on where it stood, be it in
// the middle of dialling.
func TestNoRequestLeavesWithoutItsLease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		http2, dialled bool // the lease is lost before the call, or once there is a connection
		held           bool
	}{
		"held":                     {held: true},
		"lost":                     {},
		"lost while dialling":      {dialled: true},
		"lost while dialling, h2":  {dialled: true, http2: true},
		"held, h2":                 {held: true, http2: true},
		"lost before the call, h2": {http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole atomic.Int64
			vendor := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err == nil && string(body) == `{}` {
					whole.Add(1)
				}
			}))
			vendor.EnableHTTP2 = c.http2
			vendor.StartTLS()
			t.Cleanup(vendor.Close)
			client := transport.New(transport.Config{Vendor: "v", RoundTripper: &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: c.http2,
			}})
			var current atomic.Pointer[lease.Lease]
			current.Store(lease.New(time.Hour, lease.Now()))
			if !c.held && !c.dialled {
				current.Load().End()
			}
			ctx := httptrace.WithClientTrace(lease.With(t.Context(), &current), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
				if c.dialled {
					current.Load().End()
				}
			}})
			req, err := transport.JSON(http.MethodPost, vendor.URL, []byte(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Do(ctx, transport.Write, req)
			if c.held {
				if err != nil || whole.Load() != 1 {
					t.Errorf("%v, %d requests", err, whole.Load())
				}
				return
			}
			if !errors.Is(err, lease.ErrLost) || !failure.Is(err, failure.Unavailable) || whole.Load() != 0 {
				t.Errorf("%v, %d requests", err, whole.Load())
			}
		})
	}
}
