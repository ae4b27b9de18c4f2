package monitoring

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/prometheus/model/rulefmt"
)

// runbooks is where the pages stand for who reads an alert.
const runbooks = "https://github.com/mailwright/mailwright/blob/main/docs/runbooks/"

func page(alert string) string { return root + "docs/runbooks/" + alert + ".md" }

// TestEachAlertHasARunbook, and each runbook has an alert. All have the same sections.
func TestEachAlertHasARunbook(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(page("*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readAlerts(t) {
		if got, want := r.Annotations["runbook_url"], runbooks+r.Alert+".md"; got != want {
			t.Errorf("%s: runbook_url is %s, want %s", r.Alert, got, want)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		raw, err := os.ReadFile(page(r.Alert))
		if err != nil {
			t.Error(err)
			continue
		}
		pages = slices.DeleteFunc(pages, func(p string) bool { return p == page(r.Alert) })
		if !strings.HasPrefix(string(raw), "# "+r.Alert+"\n") {
			t.Errorf("%s: the title of its page is another", r.Alert)
		}
		var sections []string
		for _, m := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(string(raw), -1) {
			sections = append(sections, m[1])
		}
		if want := []string{"What it means", "What to look at", "What to do", "When it is over"}; !slices.Equal(sections, want) {
			t.Errorf("%s: its page has the sections %q", r.Alert, sections)
		}
		if len(blocks(t, r.Alert)) == 0 {
			t.Errorf("%s: its page has no command", r.Alert)
		}
	}
	if len(pages) > 0 {
		t.Errorf("pages without an alert: %v", pages)
	}
}

// TestThePageHasEveryAlert compares the table of docs/metrics.md with the rules.
func TestThePageHasEveryAlert(t *testing.T) {
	t.Parallel()
	const file = root + "docs/metrics.md"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?s)(<!-- alerts: .*? -->\n).*?(<!-- end of alerts -->)`)
	if !table.Match(raw) {
		t.Fatal("the page has no place for the table")
	}
	want := table.ReplaceAllString(string(raw), "${1}"+tableOf(readAlerts(t))+"${2}")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if want != string(raw) {
		t.Error("docs/metrics.md has other alerts than deploy/prometheus/alerts.yaml: run the test with -update")
	}
}

func tableOf(alerts []rulefmt.Rule) string {
	var table strings.Builder
	table.WriteString("| alert | severity | after | says |\n|---|---|---|---|\n")
	for _, r := range alerts {
		after := "at once"
		if r.For > 0 {
			after = r.For.String()
		}
		summary := regexp.MustCompile(`\{\{ \$labels\.(\w+) \}\}`).ReplaceAllString(r.Annotations["summary"], "*$1*")
		summary = regexp.MustCompile(`\{\{ \$value[^}]*\}\}`).ReplaceAllString(summary, "*n*")
		_, _ = fmt.Fprintf(&table, "| [%[1]s](runbooks/%[1]s.md) | %s | %s | %s |\n", r.Alert, r.Labels["severity"], after, summary)
	}
	return table.String()
}

var block = regexp.MustCompile("(?ms)^```(sh|sql)\n(.*?)^```")

// blocks are the commands of a runbook: the language and the text of each block.
func blocks(t testing.TB, alert string) [][]string {
	t.Helper()
	raw, err := os.ReadFile(page(alert))
	if err != nil {
		t.Fatal(err)
	}
	return block.FindAllStringSubmatch(string(raw), -1)
}

// findsWrong has the exit codes with which the commands of a page say what is wrong while its alert
// fires: a server that does not answer, a projection that stopped, a dead letter that no replay
// helps.
var findsWrong = map[string][]int{
	"MailwrightNATSDisconnected": {1},
	"MailwrightProjectionHalted": {1},
	"MailwrightDeadLetters":      {1},
}

// runRunbook runs the commands of a page against the system, while its alert fires.
func (w *watched) runRunbook(alert string) {
	w.Helper()
	for _, b := range blocks(w, alert) {
		for call := range strings.Lines(b[2]) {
			if b[1] == "sql" {
				w.query(alert, call)
			} else {
				w.run(strings.TrimSpace(call), findsWrong[alert]...)
			}
		}
	}
}

// run runs a command line by the shell, as the NATS user whom it is for. It must end with 0, or
// with an exit code that is allowed.
func (w *watched) run(call string, allowed ...int) {
	w.Helper()
	user := "operator"
	if strings.HasPrefix(call, "mailwright streams") {
		user = "streams"
	}
	key, err := w.SeedFile(user)
	w.must(err)
	cmd := exec.CommandContext(w.Context(), "sh", "-c", call)
	cmd.Env = append(w.env, "PROGRAM="+w.programs["projection-svc"], "MAILWRIGHT_NATS_NKEY="+key)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		w.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 && !slices.Contains(allowed, code) {
		w.Errorf("%s: exit code %d\n%s", call, code, out)
	}
}

// query runs a query as the role of those who read.
func (w *watched) query(alert, sql string) {
	w.Helper()
	err := pgx.BeginFunc(w.Context(), w.DB, func(tx pgx.Tx) error {
		for _, each := range []string{"SET LOCAL ROLE mailwright_reader", "SET LOCAL lock_timeout = '1s'", sql} {
			if _, err := tx.Exec(w.Context(), each); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !strings.Contains(err.Error(), "lock timeout") {
		w.Errorf("%s: %s: %v", alert, sql, err)
	}
}
