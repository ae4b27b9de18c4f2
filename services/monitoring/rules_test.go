package monitoring

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

const root = "../../"

var update = flag.Bool("update", false, "write the table of docs/metrics.md anew")

var promql = parser.NewParser(parser.Options{})

// readAlerts gives the alerts of deploy/prometheus/alerts.yaml in their order, as Prometheus reads
// them.
func readAlerts(t testing.TB) (list []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(root+"deploy/prometheus/alerts.yaml", false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range groups.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

// alerting evaluates the alerts over the samples of a storage, as Prometheus does.
type alerting struct {
	rules []*rules.AlertingRule
	query rules.QueryFunc
}

func newAlerting(t testing.TB, samples storage.Queryable) *alerting {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	a := &alerting{query: rules.EngineQueryFunc(engine, samples)}
	for _, r := range readAlerts(t) {
		expr, err := promql.ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		a.rules = append(a.rules, rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), time.Duration(r.KeepFiringFor),
			labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler)))
	}
	return a
}

// firing evaluates the alerts at one time after the other, and gives the summaries of those that
// fire at the last one, by alert.
func (a *alerting) firing(ctx context.Context, from, to time.Time, every time.Duration) (map[string][]string, error) {
	found := map[string][]string{}
	for _, r := range a.rules {
		for at := from; !at.After(to); at = at.Add(every) {
			if _, err := r.Eval(ctx, 0, at, a.query, nil, 0); err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name(), err)
			}
		}
		for _, alert := range r.ActiveAlerts() {
			if alert.State == rules.StateFiring {
				found[r.Name()] = append(found[r.Name()], alert.Annotations.Get("summary"))
			}
		}
		slices.Sort(found[r.Name()])
	}
	return found, nil
}

// TestPrometheusReadsTheAlerts: the configuration that docker-compose.yml mounts names the file,
// and the job that the rules expect.
func TestPrometheusReadsTheAlerts(t *testing.T) {
	t.Parallel()
	cfg, err := config.LoadFile(root+"deploy/prometheus/prometheus.yml", false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.RuleFiles) != 1 || filepath.Base(cfg.RuleFiles[0]) != "alerts.yaml" || len(cfg.ScrapeConfigs) != 1 || cfg.ScrapeConfigs[0].JobName != "mailwright" {
		t.Errorf("rules %v, jobs %+v", cfg.RuleFiles, cfg.ScrapeConfigs)
	}
}

// healthy is a system at work, of which no alert fires. Some series are just below what an alert
// asks for. One minute lies between two samples.
const healthy = `load 1m
  up{job="mailwright", instance="d1"} 1x60
  up{job="mailwright", instance="d2"} 1x20 0 1x39
  up{job="other", instance="x"} 0x60
  mailwright_nats_connected{instance="d1"} 1x60
  mailwright_nats_connected{instance="d2"} 1x30 0 1x29
  mailwright_nats_permission_denials_total{instance="d1"} 3x60
  mailwright_postgres_connections{instance="p", state="in_use"} 3x30 4 3x29
  mailwright_postgres_connections{instance="p", state="max"} 4x60
  mailwright_dead_letters_total{domain="mailbox", tenant="contoso", reason="expired"} 7x60
  mailwright_parked_oldest_seconds{domain="mailbox"} 3600x60
  mailwright_outcomes_total{domain="mailbox", tenant="contoso", type="t", state="succeeded"} 0+9x60
  mailwright_outcomes_total{domain="mailbox", tenant="contoso", type="t", state="failed"} 0+1x60
  mailwright_outcomes_total{domain="mailbox", tenant="rare", type="t", state="failed"} 0x55 1 2 3 4 5
  mailwright_partition_pending_messages{stream="COMMANDS", partition="mailbox-1"} 9000-100x60
  mailwright_partition_pending_messages{stream="COMMANDS", partition="mailbox-2"} 99x60
  mailwright_partition_pending_messages{stream="COMMANDS", partition="mailbox-3"} 0x60
  mailwright_partition_lease_held{stream="COMMANDS", partition="mailbox-1", instance="d1"} 1x30 0x30
  mailwright_partition_lease_held{stream="COMMANDS", partition="mailbox-1", instance="d2"} 0x30 1x30
  mailwright_partition_lease_held{stream="COMMANDS", partition="mailbox-2", instance="d1"} 1x60
  mailwright_partition_lease_held{stream="COMMANDS", partition="mailbox-2", instance="d2"} 0x30 1 0x29
  mailwright_partition_lease_held{stream="COMMANDS", partition="mailbox-3", instance="d2"} 0x60
  mailwright_partition_leases_lost_total{stream="COMMANDS", partition="mailbox-1", instance="d1"} 0+0.1x60
  mailwright_recheck_lag_seconds{domain="mailbox"} 900x60
  mailwright_vendor_credentials_refused{vendor="adaxes"} 0x60
  mailwright_vendor_circuits_open{vendor="adaxes"} 0x30 1 0x29
  mailwright_projection_halted{stream="EVENTS"} 0x60
  mailwright_projection_lag_seconds{projection="operations"} 60x60
  mailwright_projection_errors_total{projection="operations"} 2x60
`

// fires has for each alert series on which it fires, and what it says after an hour.
var fires = map[string]struct{ series, says string }{
	"MailwrightProgramDown":      {`up{job="mailwright", instance="d1"} 1x58 0 0`, "d1 does not answer Prometheus."},
	"MailwrightNATSDisconnected": {`mailwright_nats_connected{instance="d1"} 1x58 0 0`, "d1 is not connected to NATS."},
	// The series begins with the first denial.
	"MailwrightNATSPermissionDenied":  {`mailwright_nats_permission_denials_total{instance="d1"} _x50 1x9`, "NATS has denied d1 a subject."},
	"MailwrightPostgresPoolExhausted": {"mailwright_postgres_connections{instance=\"p\", state=\"in_use\"} 4x60\n mailwright_postgres_connections{instance=\"p\", state=\"max\"} 4x60", "p uses all 4 connections that it may have to Postgres."},
	"MailwrightDeadLetters":           {`mailwright_dead_letters_total{domain="mailbox", tenant="contoso", reason="expired", instance="d1"} _x50 1x9`, "Commands of contoso to mailbox became dead letters: expired."},
	"MailwrightCommandsWaitLong":      {`mailwright_parked_oldest_seconds{domain="mailbox"} 1800+60x60`, "A command to mailbox waits for 1h 30m 0s."},
	"MailwrightOutcomesFail": {"mailwright_outcomes_total{domain=\"mailbox\", tenant=\"contoso\", type=\"t\", state=\"succeeded\"} 0+3x60\n mailwright_outcomes_total{domain=\"mailbox\", tenant=\"contoso\", type=\"t\", state=\"failed\"} 0+1x60",
		"25% of the commands of contoso to mailbox failed in 30 minutes."},
	"MailwrightBacklogNotShrinking": {"mailwright_partition_pending_messages{stream=\"COMMANDS\", partition=\"mailbox-1\"} 100+1x60\n mailwright_partition_lease_held{stream=\"COMMANDS\", partition=\"mailbox-1\"} 1x60",
		"160 messages of mailbox-1 (COMMANDS) are not delivered yet, and they do not get fewer."},
	"MailwrightPartitionWithoutLease": {"mailwright_partition_pending_messages{stream=\"PARKED\", partition=\"mailbox-1\", instance=\"d1\"} 1x60\n mailwright_partition_lease_held{stream=\"PARKED\", partition=\"mailbox-1\", instance=\"d1\"} 1x57 0 0 0\n mailwright_partition_lease_held{stream=\"COMMANDS\", partition=\"mailbox-1\", instance=\"d1\"} 1x60",
		"1 messages of mailbox-1 (PARKED) wait, and no replica holds its lease."},
	"MailwrightPartitionHeldTwice": {"mailwright_partition_lease_held{stream=\"COMMANDS\", partition=\"mailbox-1\", instance=\"d1\"} 1x60\n mailwright_partition_lease_held{stream=\"COMMANDS\", partition=\"mailbox-1\", instance=\"d2\"} 0x57 1 1 1",
		"2 replicas believe that they hold the lease of mailbox-1 (COMMANDS)."},
	"MailwrightLeasesLost":               {`mailwright_partition_leases_lost_total{stream="COMMANDS", partition="mailbox-1", instance="d1"} 0+1x60`, "d1 lost 15 leases of partitions in 15 minutes."},
	"MailwrightRecheckLags":              {`mailwright_recheck_lag_seconds{domain="mailbox"} 0+60x60`, "The recheck of commands to mailbox is 1h 0m 0s late."},
	"MailwrightVendorCredentialsRefused": {`mailwright_vendor_credentials_refused{vendor="adaxes"} 0x58 2 2`, "adaxes refuses the credentials of 2 clients."},
	// The circuit is closed for a moment whenever it lets a request try.
	"MailwrightVendorCircuitOpen":   {`up 1` + "\n\nload 10s\n mailwright_vendor_circuits_open{vendor=\"adaxes\"} 0x315" + strings.Repeat(" 1 1 0", 15), "Nothing is sent to adaxes, which has not answered for minutes."},
	"MailwrightProjectionHalted":    {`mailwright_projection_halted{stream="EVENTS"} 0x58 1 1`, "The projections of EVENTS stand, and need help."},
	"MailwrightProjectionLags":      {`mailwright_projection_lag_seconds{projection="operations"} 0x54 61+60x6`, "The rows of operations are 6m 1s behind."},
	"MailwrightMessagesWithoutRows": {`mailwright_projection_errors_total{projection="operations"} _x50 1x9`, "Messages can never become rows of operations."},
}

func evaluate(t *testing.T, series string) map[string][]string {
	t.Helper()
	samples := promqltest.LoadedStorage(t, series)
	t.Cleanup(func() { _ = samples.Close() })
	begin := time.Unix(0, 0)
	found, err := newAlerting(t, samples).firing(t.Context(), begin, begin.Add(time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNoAlertFiresOnAHealthySystem(t *testing.T) {
	t.Parallel()
	if found := evaluate(t, healthy); len(found) > 0 {
		t.Errorf("%v", found)
	}
}

func TestEachAlertFires(t *testing.T) {
	t.Parallel()
	missing := maps.Clone(fires)
	for _, r := range readAlerts(t) {
		t.Run(r.Alert, func(t *testing.T) {
			t.Parallel()
			want := map[string][]string{r.Alert: {fires[r.Alert].says}}
			if found := evaluate(t, "load 1m\n "+fires[r.Alert].series); !maps.EqualFunc(found, want, slices.Equal[[]string]) {
				t.Errorf("fires: %v, want %v", found, want)
			}
		})
		delete(missing, r.Alert)
	}
	if len(missing) > 0 {
		t.Errorf("no such alerts: %v", missing)
	}
}

// TestAlertsReadSeriesThatExist: a query that names a series or a label which no program serves
// never fires.
func TestAlertsReadSeriesThatExist(t *testing.T) {
	t.Parallel()
	for _, r := range readAlerts(t) {
		if problems := unknown(r.Expr); len(problems) > 0 {
			t.Errorf("%s: %v", r.Alert, problems)
		}
	}
	const wrong = `sum by (domain, colour) (mailwright_no_such_total{tenant="x"}) + mailwright_parked_keys{tenant="x"} + rate(mailwright_outcome_duration_seconds_bucket[5m])`
	want := []string{"by colour", "mailwright_no_such_total", "mailwright_parked_keys{tenant}"}
	if got := unknown(wrong); !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", wrong, got, want)
	}
}

// served has the labels of each series that Prometheus knows of a program.
func served() map[string][]string {
	all := map[string][]string{"up": nil}
	for _, s := range metrics.All {
		if s.Type != "histogram" {
			all[s.Name] = s.Labels
			continue
		}
		all[s.Name+"_count"], all[s.Name+"_sum"], all[s.Name+"_bucket"] = s.Labels, s.Labels, append(slices.Clone(s.Labels), "le")
	}
	return all
}

// unknown gives what a query names that no program serves.
func unknown(query string) (problems []string) {
	expr, err := promql.ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	all := served()
	known := []string{"job", "instance"} // Prometheus adds them
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		names, ok := all[selector.Name]
		if !ok {
			problems = append(problems, selector.Name)
		}
		known = append(known, names...)
		for _, m := range selector.LabelMatchers {
			if ok && m.Name != model.MetricNameLabel && !slices.Contains(append(names, "job", "instance"), m.Name) {
				problems = append(problems, selector.Name+"{"+m.Name+"}")
			}
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if a, ok := node.(*parser.AggregateExpr); ok {
			for _, by := range a.Grouping {
				if !slices.Contains(known, by) {
					problems = append(problems, "by "+by)
				}
			}
		}
		return nil
	})
	slices.Sort(problems)
	return problems
}
