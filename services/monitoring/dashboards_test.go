package monitoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

// classic is the schema of the files, which Grafana 12 reads without a feature toggle.
type classic = dashboard.Dashboard //nolint:staticcheck // its successor, dashboardv2, is another schema

// readDashboard reads a dashboard by Grafana's own types, and says what does not fit them. Members
// that are missing are none of that: Grafana has defaults. Queries to Postgres have no type there.
func readDashboard(raw []byte) (d classic, problems []string) {
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, []string{err.Error()}
	}
	err := new(classic).UnmarshalJSONStrict(raw)
	wrong, ok := errors.AsType[cog.BuildErrors](err)
	if err != nil && !ok {
		return d, []string{err.Error()}
	}
	for _, e := range wrong {
		if e.Message != "required field is missing from input" {
			problems = append(problems, e.Error())
		}
	}
	return d, problems
}

// TestDashboardsFitGrafanasSchema reads all dashboards, and finds a name that is misspelt.
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
		d, problems := readDashboard(raw)
		if len(problems) > 0 || d.Uid == nil || d.Title == nil || uids[*d.Uid] != "" {
			t.Errorf("%s: has no uid or title of its own, or is no dashboard: %v", file, problems)
			continue
		}
		uids[*d.Uid] = file
		if filepath.Base(file) != "pipeline.json" {
			continue
		}
		checkQueries(t, d)
		for _, name := range []string{"title", "gridPos", "drawStyle", "legendFormat"} {
			if _, problems := readDashboard(bytes.ReplaceAll(raw, []byte(`"`+name+`"`), []byte(`"`+name+`s"`))); len(problems) == 0 {
				t.Errorf("%ss in the place of %[1]s is not found", name)
			}
		}
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
			query, ok := target.(*prometheus.Dataquery)
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
