package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"gopkg.in/yaml.v3"
)

// dashboard is what the test looks at of a file of Grafana's.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type, Query string
			Datasource        datasource
		}
	}
	Panels []panel
}

// datasource is Postgres', or Prometheus', whose queries are tested in services/monitoring.
type datasource struct{ Type string }

func (d datasource) isPrometheus() bool { return d.Type == "prometheus" }

type panel struct {
	Type, Title string
	Datasource  datasource
	FieldConfig struct {
		Overrides []struct {
			Matcher struct{ ID, Options string }
		}
	}
	Targets []struct{ Format, RawSQL string }
}

func dashboards(t testing.TB) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("../../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards, %v", err)
	}
	list := map[string]dashboard{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list[filepath.Base(file)] = d
	}
	return list
}

// Grafana's macros and variables, as Grafana expands them for Postgres:
// https://grafana.com/docs/grafana/latest/datasources/postgres/#macros.
var macros = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\$__timeFilter\(([^()]+)\)`), "$1 BETWEEN now() - interval '7 days' AND now()"},
	{regexp.MustCompile(`\$__timeGroupAlias\(([^(),]+), *'1h'\)`), `floor(extract(epoch from $1)/3600)*3600 AS "time"`},
	{regexp.MustCompile(`\$tenant\b`), "'contoso','fabrikam','adatum','litware'"},
	{regexp.MustCompile(`\$\{who:sqlstring\}`), "'delegate1@contoso.com'"},
}

func expand(sql string) string {
	for _, m := range macros {
		sql = m.pattern.ReplaceAllString(sql, m.with)
	}
	return sql
}

func TestEveryPanelOfTheDashboardsShowsRows(t *testing.T) {
	t.Parallel()
	db := newPool(t, newDatabase(t))
	conn, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	populate(t, conn.Conn(), 20_000, 3_000)
	for file, d := range dashboards(t) {
		if d.UID == "" || d.Title == "" || len(d.Panels) == 0 {
			t.Errorf("%s: no dashboard", file)
		}
		for _, v := range d.Templating.List {
			if v.Type != "query" || v.Datasource.isPrometheus() {
				continue
			}
			if found, n := read(t, conn.Conn(), v.Query); n == 0 || len(found) != 1 {
				t.Errorf("%s: variable %s gives %d rows of %d columns", file, v.Name, n, len(found))
			}
		}
		for _, p := range d.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s, %s: no query", file, p.Title)
			}
			if p.Datasource.isPrometheus() {
				continue
			}
			for _, target := range p.Targets {
				sql := expand(target.RawSQL)
				if strings.Contains(sql, "$") {
					t.Fatalf("%s, %s: a macro that this test does not know: %s", file, p.Title, sql)
				}
				columns, n := read(t, conn.Conn(), sql)
				if n == 0 {
					t.Errorf("%s, %s: no rows", file, p.Title)
				}
				for _, problem := range p.lacks(target.Format, columns) {
					t.Errorf("%s, %s: %s", file, p.Title, problem)
				}
			}
		}
	}
}

// The compose file's Grafana reads as a user that may read the views and nothing else, whatever its
// password was before.
func TestGrafanaLogsInAsAReader(t *testing.T) {
	t.Parallel()
	login, err := os.ReadFile("../../deploy/grafana/login.sql")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("../../deploy/grafana/provisioning/datasources/mailwright.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var provisioned struct {
		Datasources []struct{ UID, User string }
	}
	if err := yaml.Unmarshal(raw, &provisioned); err != nil {
		t.Fatal(err)
	}
	user := ""
	for _, d := range provisioned.Datasources {
		if d.UID == "mailwright" {
			user = d.User
		}
	}
	config, err := pgx.ParseConfig(newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	connect := func(c *pgx.ConnConfig) *pgx.Conn {
		t.Helper()
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	for _, password := range []string{"first", "it's changed"} {
		owner := config.Copy()
		owner.RuntimeParams["mailwright.grafana_password"] = password
		if _, err := connect(owner).Exec(t.Context(), string(login)); err != nil {
			t.Fatal(err)
		}
		reader := config.Copy()
		reader.User, reader.Password = user, password
		conn := connect(reader)
		if _, err := conn.Exec(t.Context(), "SELECT FROM operations; SELECT FROM mailwright_views.waiting"); err != nil {
			t.Error(err)
		}
		for _, sql := range []string{"SELECT FROM mailwright.operations", "SET ROLE mailwright", "CREATE TABLE public.t ()"} {
			if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
}

// numeric are the types that Grafana draws.
var numeric = []uint32{pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID}

// lacks tells what a panel needs and its query does not give.
func (p panel) lacks(format string, columns map[string]uint32) (problems []string) {
	numbers := 0
	for name, kind := range columns {
		if name != "time" && slices.Contains(numeric, kind) {
			numbers++
		}
	}
	at, timed := columns["time"]
	if format == "time_series" && (!timed || at != pgtype.TimestamptzOID && !slices.Contains(numeric, at)) {
		problems = append(problems, "no column time")
	}
	if p.Type != "table" && numbers == 0 {
		problems = append(problems, "no column with a number")
	}
	for _, o := range p.FieldConfig.Overrides {
		if _, ok := columns[o.Matcher.Options]; o.Matcher.ID == "byName" && !ok {
			problems = append(problems, "no column "+o.Matcher.Options)
		}
	}
	return problems
}

// read runs a query as the role for dashboards, and gives the columns with their types and the
// number of rows.
func read(t testing.TB, conn *pgx.Conn, sql string) (columns map[string]uint32, n int) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE mailwright_reader"); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), sql)
		if err != nil {
			return err
		}
		columns = map[string]uint32{}
		for _, f := range rows.FieldDescriptions() {
			columns[f.Name] = f.DataTypeOID
		}
		for rows.Next() {
			n++
		}
		return rows.Err()
	})
	if err != nil {
		t.Errorf("%v: %s", err, sql)
	}
	return columns, n
}

func TestATestOfPanelsFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := panel{Type: "timeseries"}
	if found := fmt.Sprint(p.lacks("time_series", map[string]uint32{"hour": pgtype.TimestamptzOID, "state": pgtype.TextOID})); found != "[no column time no column with a number]" {
		t.Error(found)
	}
}
