package metrics

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// measureTimeout bounds the measurements of a scrape. Prometheus gives up after 10 s by
	// default, and then a server that is away would cost the other series too.
	measureTimeout = 2 * time.Second
	// measureInterval is how old measurements may be: several scrapers cost no more than one.
	measureInterval = 5 * time.Second
)

// Scraper serves /metrics. The zero value is ready. It is safe for concurrent use.
type Scraper struct {
	mu           sync.Mutex
	measurements []func(context.Context)
	measuredAt   time.Time
}

// Measure registers a measurement that sets gauges by asking NATS or Postgres. It is made when
// /metrics is read, side by side with the others, so that nothing is asked while nobody looks. A
// measurement that fails leaves its gauges as they were.
func (s *Scraper) Measure(measurement func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measurements = append(s.measurements, measurement)
}

// ServeHTTP implements [http.Handler].
func (s *Scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.measure(r.Context())
	promhttp.Handler().ServeHTTP(w, r)
}

func (s *Scraper) measure(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.measuredAt) < measureInterval {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, m := range s.measurements {
		all.Go(func() { m(ctx) })
	}
	all.Wait()
	s.measuredAt = time.Now()
}
