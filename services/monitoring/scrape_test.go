package monitoring

import (
	"context"
	"math"
	"net/http"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// interval lies between two scrapes, by the samples' clock.
const interval = 30 * time.Second

// scraper reads /metrics of programs into a storage of Prometheus.
type scraper struct {
	t        testing.TB
	programs map[string]string // base URL, by the name that becomes the label instance
	samples  storage.Storage
	now      time.Time
	seen     map[uint64]labels.Labels // the series of the last scrape
}

func newScraper(t testing.TB, programs map[string]string) *scraper {
	samples := promqltest.LoadedStorage(t, "")
	t.Cleanup(func() { _ = samples.Close() })
	return &scraper{t: t, programs: programs, samples: samples, now: time.Unix(0, 0)}
}

// scrape reads all programs, and stores what they serve at the next time.
func (s *scraper) scrape(ctx context.Context) {
	s.t.Helper()
	s.now = s.now.Add(interval)
	appender := s.samples.Appender(ctx)
	last := s.seen
	s.seen = map[uint64]labels.Labels{}
	add := func(l labels.Labels, v float64) {
		if _, err := appender.Append(0, l, s.now.UnixMilli(), v); err != nil {
			s.t.Fatalf("%s: %v", l, err)
		}
		s.seen[l.Hash()] = l
	}
	for instance, families := range s.read(ctx) {
		up := 0.0
		if families != nil {
			up = 1
		}
		add(labels.FromStrings(model.MetricNameLabel, "up", "job", "mailwright", "instance", instance), up)
		for name, family := range families {
			for _, m := range family.GetMetric() {
				b := labels.NewBuilder(labels.FromStrings(model.MetricNameLabel, name, "job", "mailwright", "instance", instance))
				for _, p := range m.GetLabel() {
					b.Set(p.GetName(), p.GetValue())
				}
				switch {
				case m.GetCounter() != nil:
					add(b.Labels(), m.GetCounter().GetValue())
				case m.GetGauge() != nil:
					add(b.Labels(), m.GetGauge().GetValue())
				}
			}
		}
	}
	for hash, l := range last {
		if _, still := s.seen[hash]; !still { // Prometheus ends a series that is served no longer
			if _, err := appender.Append(0, l, s.now.UnixMilli(), math.Float64frombits(value.StaleNaN)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if err := appender.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// read reads all programs side by side. It gives nil for one that does not answer.
func (s *scraper) read(ctx context.Context) map[string]map[string]*dto.MetricFamily {
	var mu sync.Mutex
	var all sync.WaitGroup
	found := map[string]map[string]*dto.MetricFamily{}
	for instance, url := range s.programs {
		all.Go(func() {
			families, err := familiesOf(ctx, url)
			if err != nil {
				families = nil
			}
			mu.Lock()
			defer mu.Unlock()
			found[instance] = families
		})
	}
	all.Wait()
	return found
}

// familiesOf reads what a program serves.
func familiesOf(ctx context.Context, url string) (map[string]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(answer.Body)
}
