package metrics_test

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mailwright/mailwright/services/internal/metrics"
)

var update = flag.Bool("update", false, "write the table into docs/metrics.md anew")

// table is the table's place in the page.
var table = regexp.MustCompile(`(?s)(<!-- metrics: .*? -->\n).*?(<!-- end of metrics -->)`)

func TestThePageHasEverySeries(t *testing.T) {
	t.Parallel()
	const page = "../../../docs/metrics.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Builder{}
	rows.WriteString("| series | type | labels | what it is |\n|---|---|---|---|\n")
	for _, s := range metrics.All {
		labels := make([]string, len(s.Labels))
		for i, l := range s.Labels {
			labels[i] = "`" + l + "`"
		}
		_, _ = fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", s.Name, s.Type, strings.Join(labels, ", "), s.Help)
	}
	want := table.ReplaceAll(text, []byte("${1}"+rows.String()+"${2}"))
	if !table.Match(text) {
		t.Fatalf("%s has no place for the table", page)
	}
	if *update {
		if err := os.WriteFile(page, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", page, diff)
	}
}

// TestNames: those that Prometheus' own linter has nothing against.
func TestNames(t *testing.T) {
	t.Parallel()
	metrics.SetTenants([]string{"contoso"})
	metrics.CommandsReceived.WithLabelValues("delegation", metrics.Tenant("contoso"), metrics.Type("x")).Inc()
	var scraper metrics.Scraper
	asked := 0
	scraper.Measure(func(context.Context) { asked++ })
	text := ""
	for range 2 { // the second one comes too soon to measure again
		answer := httptest.NewRecorder()
		scraper.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		text = answer.Body.String()
	}
	if asked != 1 {
		t.Errorf("measured %d times", asked)
	}
	if want := `mailwright_commands_received_total{domain="delegation",tenant="contoso",type="other"} 1`; !strings.Contains(text, want) {
		t.Errorf("%s is missing from:\n%s", want, text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestWhatComesFromOutsideIsNoLabel(t *testing.T) {
	t.Parallel()
	metrics.SetTenants([]string{"fabrikam", "contoso"})
	for name, want := range map[string]string{"contoso": "contoso", "fabrikam": "fabrikam", "alex@contoso.com": metrics.Other, "": metrics.Other} {
		if got := metrics.Tenant(name); got != want {
			t.Errorf("Tenant(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"com.mailwright.delegation.change.v1": metrics.Other, "": metrics.Other} {
		if got := metrics.Type(name); got != want && got != name {
			t.Errorf("Type(%q) = %q, want %q", name, got, want)
		}
	}
}
