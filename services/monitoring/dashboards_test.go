package monitoring

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

// classic is the schema of the files, which Grafana 12 reads without a feature toggle.
type classic = dashboard.Dashboard //nolint:staticcheck // its successor, dashboardv2, is another schema

// TestDashboardsFitGrafanasSchema reads all dashboards by Grafana's own types, which refuse a
// member that they do not know. Queries to Postgres have no type there.
func TestDashboardsFitGrafanasSchema(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	files, err := filepath.Glob(root + "deploy/grafana/dashboards/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	uids := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d classic
		if err := d.UnmarshalJSONStrict(raw); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if d.Uid == nil || d.Title == nil || uids[*d.Uid] != "" {
			t.Errorf("%s: no uid or title of its own", file)
			continue
		}
		uids[*d.Uid] = file
		if strings.HasSuffix(file, "pipeline.json") {
			checkQueries(t, d)
		}
	}
	if err := new(classic).UnmarshalJSONStrict([]byte(`{"uid": "x", "tilte": "x"}`)); err == nil {
		t.Error("a member that Grafana does not know passes")
	}
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// checkQueries holds the queries of a dashboard against the series of the programs: each query
// reads series that exist, and each series is shown.
func checkQueries(t *testing.T, d classic) {
	t.Helper()
	variables := strings.NewReplacer("$__rate_interval", "5m", "$tenant", "contoso")
	all := ""
	for _, p := range d.Panels {
		if len(p.Panel.Targets) == 0 {
			t.Errorf("%s: no query", *p.Panel.Title)
		}
		for _, target := range p.Panel.Targets {
			query, ok := target.(prometheus.Dataquery)
			if !ok {
				t.Errorf("%s: %T is no query of Prometheus", *p.Panel.Title, target)
				continue
			}
			expr := variables.Replace(query.Expr)
			all += expr + "\n"
			if problems := unknown(expr); len(problems) > 0 {
				t.Errorf("%s: %v in %s", *p.Panel.Title, problems, expr)
			}
			for _, m := range legendLabel.FindAllStringSubmatch(*query.LegendFormat, -1) {
				if !slices.Contains(regexp.MustCompile(`\w+`).FindAllString(expr, -1), m[1]) && m[1] != "instance" {
					t.Errorf("%s: the legend shows %s, which %s does not give", *p.Panel.Title, m[1], expr)
				}
			}
		}
	}
	for _, s := range metrics.All {
		if !strings.Contains(all, s.Name) && s.Name != "mailwright_projection_errors_total" && s.Name != "mailwright_partition_leases_acquired_total" {
			t.Errorf("no panel shows %s", s.Name)
		}
	}
}
