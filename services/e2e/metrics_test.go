package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// series are those of one program: the value of a counter or a gauge, the count of a histogram.
type series map[string]float64

// scrape reads a program's /metrics.
func (s *env) scrape(ctx context.Context, program string) (series, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoints.Services[program]+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return nil, err
	}
	all := series{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			all[name+labels(m.GetLabel())] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all, nil
}

// labels are those of a series as Prometheus writes them, sorted by name.
func labels(pairs []*dto.LabelPair) string {
	var list []string
	for _, p := range pairs {
		list = append(list, fmt.Sprintf("%s=%q", p.GetName(), p.GetValue()))
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ",") + "}"
}

// sum adds up the series of a name.
func (all series) sum(name string) (total float64) {
	for each, value := range all {
		if strings.HasPrefix(each, name+"{") {
			total += value
		}
	}
	return total
}

// TestMetrics: what a command did is counted once by each series that it concerns, and what is
// measured by asking NATS is permitted to each program.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	before := map[string]series{}
	for program := range s.Endpoints.Services {
		all, err := s.scrape(t.Context(), program)
		if err != nil {
			t.Fatal(err)
		}
		before[program] = all
	}
	if err := s.Vendors.Fail(t.Context(), testkit.Fault{Vendor: "exchangeonline", Call: "Get-Mailbox", Kind: "status", Count: 1, Params: testkit.FaultParams{Status: 503}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []command{
		{"metrics-read", event.TypeDelegationRead, "metrics", `{"mailbox":"alex@contoso.com"}`},
		{"metrics-wrong", event.TypeDelegationSet, "metrics", `{"delegates":[]}`},
	} {
		s.mustPublish(c.message())
		s.outcome(event.DomainDelegation, c.id)
	}
	unreadable := command{"metrics-unreadable", event.TypeDelegationRead, "metrics", `{}`}.message()
	unreadable.Header.Del("ce-source")
	s.mustPublish(unreadable)

	const of = `{domain="delegation",`
	read, set := `tenant="contoso",type="`+event.TypeDelegationRead+`"}`, `tenant="contoso",type="`+event.TypeDelegationSet+`"}`
	state := func(s, kind string) string {
		return `mailwright_outcomes_total{domain="delegation",state="` + s + `",` + kind
	}
	want := series{
		"mailwright_commands_received_total" + of + read: 1,
		"mailwright_commands_received_total" + of + set:  1,
		state("succeeded", read):                         1,
		state("rejected", set):                           1,
		`mailwright_outcome_duration_seconds{domain="delegation",type="` + event.TypeDelegationRead + `"}`:              1,
		`mailwright_attempts_total{kind="ok",type="` + event.TypeDelegationRead + `",vendor="exchangeonline"}`:          1,
		`mailwright_attempts_total{kind="unavailable",type="` + event.TypeDelegationRead + `",vendor="exchangeonline"}`: 1,
		`mailwright_dead_letters_total{domain="delegation",reason="unreadable",tenant="contoso"}`:                       1,
		`mailwright_vendor_request_duration_seconds{call="Get-Mailbox",result="200",vendor="exchangeonline"}`:           1,
	}
	s.eventually(func(ctx context.Context) string {
		now, err := s.scrape(ctx, "delegation-svc")
		if err != nil {
			return err.Error()
		}
		for name, value := range want {
			if got := now[name] - before["delegation-svc"][name]; got != value {
				return fmt.Sprintf("%s rose by %v, want %v", name, got, value)
			}
		}
		for name, value := range map[string]float64{"mailwright_nats_connected": 1, "mailwright_calls_in_flight": 0, "mailwright_parked_keys": 0} {
			if got := now.sum(name); got != value {
				return fmt.Sprintf("%s is %v, want %v", name, got, value)
			}
		}
		return ""
	})
	s.eventually(func(ctx context.Context) string {
		now, err := s.scrape(ctx, "projection-svc")
		if err != nil {
			return err.Error()
		}
		for _, name := range []string{"mailwright_projection_lag_messages", "mailwright_projection_halted", "mailwright_projection_lag_seconds"} {
			if value := now.sum(name); value != 0 {
				return fmt.Sprintf("%s is %v", name, value)
			}
		}
		if _, ok := now[`mailwright_projection_lag_seconds{projection="operations"}`]; !ok {
			return fmt.Sprintf("no lag of the projection operations among %v", slices.Sorted(maps.Keys(now)))
		}
		return ""
	})
	s.undenied()
}
