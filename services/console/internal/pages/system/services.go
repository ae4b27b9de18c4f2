package system

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// service is a service as its health endpoints show it.
type service struct {
	Name, URL string
	State     string // ok, stale: runs and is not ready, or down
	Checks    []readiness
	Memory    uint64
	Facts     []fact
}

type readiness struct{ Name, Says string }

// fact is a value of a metric of ours, such as a breaker that is open.
type fact struct{ Name, Labels, Value string }

// healthTimeout bounds the asking of one service.
const healthTimeout = time.Second

// services asks every service that the settings name, all at once.
func (y system) services(ctx context.Context) []service {
	names := slices.Sorted(maps.Keys(y.opts.Services))
	list := make([]service, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() { list[i] = y.ask(ctx, name, y.opts.Services[name]) })
	}
	asking.Wait()
	return list
}

func (y system) ask(ctx context.Context, name, url string) service {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	s := service{Name: name, URL: url, State: "down"}
	var ready struct {
		Ready  bool              `json:"ready"`
		Checks map[string]string `json:"checks"`
	}
	if err := y.get(ctx, url+"/readyz", func(res *http.Response) error { return json.NewDecoder(res.Body).Decode(&ready) }); err != nil {
		return s
	}
	s.State = "ok"
	if !ready.Ready {
		s.State = "stale"
	}
	for _, check := range slices.Sorted(maps.Keys(ready.Checks)) {
		if ready.Checks[check] != "ok" {
			s.Checks = append(s.Checks, readiness{check, ready.Checks[check]})
		}
	}
	_ = y.get(ctx, url+"/metrics", s.metrics) // without metrics the rest is shown all the same
	return s
}

func (y system) get(ctx context.Context, url string, read func(*http.Response) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := y.opts.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	return read(res)
}

// metrics keeps the memory, and the gauges of ours that are not zero.
func (s *service) metrics(res *http.Response) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		family := families[name]
		if name == "process_resident_memory_bytes" {
			s.Memory = uint64(family.GetMetric()[0].GetGauge().GetValue())
		}
		if !strings.HasPrefix(name, "mailwright_") || family.GetType() != dto.MetricType_GAUGE {
			continue
		}
		for _, m := range family.GetMetric() {
			if v := m.GetGauge().GetValue(); v != 0 {
				s.Facts = append(s.Facts, fact{strings.TrimPrefix(name, "mailwright_"), labels(m), fmt.Sprint(v)})
			}
		}
	}
	return nil
}

func labels(m *dto.Metric) string {
	var parts []string
	for _, l := range m.GetLabel() {
		parts = append(parts, l.GetValue())
	}
	return strings.Join(parts, " ")
}
