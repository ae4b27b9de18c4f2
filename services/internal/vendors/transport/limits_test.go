package transport_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// answering is a vendor without a network: it answers with a status, or with nothing where that is
// 0.
type answering struct {
	status atomic.Int64
	asked  atomic.Int64
}

func (a *answering) RoundTrip(*http.Request) (*http.Response, error) {
	a.asked.Add(1)
	if status := int(a.status.Load()); status > 0 {
		recorder := httptest.NewRecorder()
		recorder.WriteHeader(status)
		return recorder.Result(), nil
	}
	return nil, http.ErrServerClosed
}

func get(ctx context.Context, c *transport.Client) error {
	req, _ := http.NewRequest(http.MethodGet, "http://vendor.example/", nil)
	_, err := c.Do(ctx, transport.Read, req)
	return err
}

func TestCircuit(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]int64{"lost answers": 0, "a gateway's errors": http.StatusBadGateway} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				vendor := &answering{}
				vendor.status.Store(bad)
				c := transport.New(transport.Config{Vendor: "v", RoundTripper: vendor, Limits: transport.Limits{BreakAfter: 3, BreakFor: 10 * time.Second}})
				for range 5 {
					_ = get(t.Context(), c)
				}
				if n := vendor.asked.Load(); n != 3 {
					t.Errorf("%d requests were sent, want 3 before the circuit opens", n)
				}
				f := failure.Of(get(t.Context(), c))
				if f.Kind != failure.Unavailable || f.Code != "circuit-open" || f.RetryAfter != 10*time.Second {
					t.Errorf("%v, again in %s", f, f.RetryAfter)
				}
				vendor.status.Store(http.StatusOK)
				time.Sleep(10*time.Second + 1)
				if err := get(t.Context(), c); err != nil {
					t.Errorf("the request that tries: %v", err)
				}
				if err := get(t.Context(), c); err != nil {
					t.Errorf("after it: %v", err)
				}
			})
		})
	}
}

func TestCircuitStaysClosed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits transport.Limits
		status int64
	}{
		"by configuration":         {limits: transport.Limits{BreakAfter: -1}},
		"after refusals":           {limits: transport.Limits{BreakAfter: 3}, status: http.StatusForbidden},
		"after a vendor's own 500": {limits: transport.Limits{BreakAfter: 3}, status: http.StatusInternalServerError},
		"after throttling":         {limits: transport.Limits{BreakAfter: 3}, status: http.StatusTooManyRequests},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vendor := &answering{}
			vendor.status.Store(c.status)
			client := transport.New(transport.Config{Vendor: "v", RoundTripper: vendor, Limits: c.limits})
			for range 30 {
				_ = get(t.Context(), client)
			}
			if n := vendor.asked.Load(); n != 30 {
				t.Errorf("%d of 30 requests were sent", n)
			}
		})
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vendor := &answering{}
		vendor.status.Store(http.StatusOK)
		c := transport.New(transport.Config{Vendor: "v", RoundTripper: vendor, Limits: transport.Limits{RequestsPerSecond: 2}})
		began := time.Now()
		for range 6 { // two at once, then one each half second
			if err := get(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("six requests at two a second took %s", took)
		}
	})
}

func TestRateSendsAwayWhomItCanNotServeSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vendor := &answering{}
		vendor.status.Store(http.StatusOK)
		c := transport.New(transport.Config{Vendor: "v", RoundTripper: vendor, Limits: transport.Limits{RequestsPerSecond: 0.1}})
		if err := get(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		f := failure.Of(get(t.Context(), c))
		if f.Kind != failure.Throttled || f.RetryAfter != 10*time.Second || vendor.asked.Load() != 1 {
			t.Errorf("%v, again in %s, %d requests", f, f.RetryAfter, vendor.asked.Load())
		}
	})
}

func TestRateLetsGoWithItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := transport.New(transport.Config{Vendor: "v", RoundTripper: &answering{}, Limits: transport.Limits{RequestsPerSecond: 1}})
		_ = get(t.Context(), c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := get(ctx, c); !failure.Is(err, failure.Unavailable) {
			t.Errorf("%v", err)
		}
	})
}
