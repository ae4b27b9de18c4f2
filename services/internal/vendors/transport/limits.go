package transport

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/metrics"
)

// Limits keep a client from pressing a vendor that is slow, or down. The zero value of each field
// takes the default.
//
// A vendor's Retry-After is not among them: it is about the request that it answered, and goes to
// the caller as [failure.Error.RetryAfter].
type Limits struct {
	// RequestsPerSecond bounds the rate; 0 does not. A second's worth may go at once.
	RequestsPerSecond float64
	// BreakAfter answers in a row that were lost, or were a gateway's 502, 503 or 504, open the
	// circuit: for BreakFor nothing is sent, then one request tries. Default 20; negative: never.
	BreakAfter int
	// BreakFor defaults to 10 s.
	BreakFor time.Duration
}

// maxWait bounds how long a request waits for the rate limit. A request that would wait longer
// fails as Throttled, and its slot is free meanwhile.
const maxWait = 2 * time.Second

// Limiter lets requests through as Limits say. A [Client] has one; what speaks another protocol
// than HTTP makes its own.
type Limiter struct {
	vendor  string
	rate    *rate.Limiter                              // nil: any rate
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}] // nil: never opens
	// when an open circuit lets a request try, Unix nanoseconds
	triesAt atomic.Int64
}

// NewLimiter returns the Gate of one vendor, open.
func NewLimiter(vendor string, l Limits) *Limiter {
	g := &Limiter{vendor: vendor}
	if l.RequestsPerSecond > 0 {
		g.rate = rate.NewLimiter(rate.Limit(l.RequestsPerSecond), max(1, int(l.RequestsPerSecond)))
	}
	if l.BreakAfter >= 0 {
		after, pause := cmp.Or(l.BreakAfter, 20), cmp.Or(l.BreakFor, 10*time.Second)
		open := metrics.NewFlag(g, metrics.VendorCircuitsOpen.WithLabelValues(vendor))
		g.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Timeout:     pause,
			ReadyToTrip: func(c gobreaker.Counts) bool { return int64(c.ConsecutiveFailures) >= int64(after) },
			// the caller's doing, not the vendor's
			IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
			OnStateChange: func(_ string, _, to gobreaker.State) {
				open.Set(to == gobreaker.StateOpen)
				if to == gobreaker.StateOpen {
					g.triesAt.Store(time.Now().Add(pause).UnixNano())
				}
			},
		})
	}
	return g
}

// Acquire waits until the rate limit allows a request. done must be called with the result of the
// request: nil if the vendor answered. An error of Acquire means that nothing was sent: Unavailable
// while the circuit is open, Throttled if the wait would be longer than [maxWait].
func (g *Limiter) Acquire(ctx context.Context) (done func(error), err error) {
	report := func(error) {}
	if g.breaker != nil {
		if report, err = g.breaker.Allow(); err != nil {
			wait := max(0, time.Until(time.Unix(0, g.triesAt.Load())))
			return nil, &failure.Error{
				Kind: failure.Unavailable, Vendor: g.vendor, Code: "circuit-open", RetryAfter: wait,
				Text: "nothing was sent: the vendor has not answered for a while, and is given a rest",
			}
		}
	}
	if err := g.wait(ctx); err != nil {
		report(context.Canceled) // says nothing about the vendor
		return nil, err
	}
	return report, nil
}

// wait waits until the rate allows another request.
func (g *Limiter) wait(ctx context.Context) error {
	if g.rate == nil {
		return nil
	}
	reservation := g.rate.Reserve()
	delay := reservation.Delay()
	if delay > maxWait {
		reservation.Cancel()
		return &failure.Error{
			Kind: failure.Throttled, Vendor: g.vendor, Code: "rate-limit", RetryAfter: delay,
			Text: "nothing was sent: the configured rate of requests is used up",
		}
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		reservation.Cancel()
		return &failure.Error{
			Kind: failure.Unavailable, Vendor: g.vendor, Cause: ctx.Err(),
			Text: "nothing was sent: the call ended while it waited for its turn",
		}
	}
}

// errGateway says that a gateway answered because the vendor did not.
var errGateway = errors.New("a gateway answered")

// answered is the result of a request for [Limiter.Acquire]: nil if the vendor itself answered.
func answered(status int, err error) error {
	if err == nil && isGateway(status) {
		return errGateway
	}
	return err
}

// isGateway reports whether a status comes from a gateway in front of the vendor. 500 does not
// count, since vendors also answer so about single objects.
func isGateway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}
