package system

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
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
	Vendors   []vendor
}

type readiness struct{ Name, Says string }

// vendor is a vendor as one service knows it.
type vendor struct {
	Service, Name string
	// Open counts the clients whose circuit breaker is open, Refused those whose credentials the
	// vendor refuses. Limit is how many calls of the service may be under way; 0: any number.
	Open, Refused, UnderWay, Limit, Requests int
}

// Breaker is one word on the circuit breakers.
func (v vendor) Breaker() string {
	if v.Open > 0 {
		return "open"
	}
	return "closed"
}

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

// metrics reads the memory, and what the service knows of its vendors.
func (s *service) metrics(res *http.Response) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		return err
	}
	for _, m := range families["process_resident_memory_bytes"].GetMetric() {
		s.Memory = uint64(m.GetGauge().GetValue())
	}
	vendors := map[string]*vendor{}
	of := func(m *dto.Metric) *vendor {
		name := label(m, "vendor")
		if vendors[name] == nil {
			vendors[name] = &vendor{Service: s.Name, Name: name}
		}
		return vendors[name]
	}
	for _, m := range families["mailwright_vendor_circuits_open"].GetMetric() {
		of(m).Open += int(m.GetGauge().GetValue())
	}
	for _, m := range families["mailwright_vendor_credentials_refused"].GetMetric() {
		of(m).Refused += int(m.GetGauge().GetValue())
	}
	for _, m := range families["mailwright_calls_in_flight"].GetMetric() {
		of(m).UnderWay += int(m.GetGauge().GetValue())
	}
	for _, m := range families["mailwright_vendor_request_duration_seconds"].GetMetric() {
		of(m).Requests += int(m.GetHistogram().GetSampleCount())
	}
	for _, m := range families["mailwright_calls_limit"].GetMetric() {
		if label(m, "scope") == "vendor" {
			for _, v := range vendors {
				v.Limit = int(m.GetGauge().GetValue())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(vendors)) {
		s.Vendors = append(s.Vendors, *vendors[name])
	}
	return nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
