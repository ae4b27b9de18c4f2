package bulk_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
	"github.com/mailwright/mailwright/services/mailwright/internal/bulk"
)

// files are the files of a test in a folder of its own.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func call(dir string, args ...string) apptest.Call {
	return apptest.Call{Name: "import", Command: &bulk.Command{}, Args: append([]string{
		filepath.Join(dir, "in.csv"), "--map", filepath.Join(dir, "map.yaml"),
	}, args...)}
}

func run(t *testing.T, dir string, args ...string) apptest.Result {
	t.Helper()
	r := apptest.Run(t.Context(), t, call(dir, args...))
	r.Out, r.Err = strings.ReplaceAll(r.Out, dir, "DIR"), strings.ReplaceAll(r.Err, dir, "DIR")
	return r
}

func want(t *testing.T, r apptest.Result, code int, err string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Err, err) {
		t.Fatalf("exit code %d, want %d with %q on standard error:\n%s%s", r.Code, code, err, r.Out, r.Err)
	}
}

const head = "type: delegation.change\ntenant: contoso\nsource: https://itsm.example.com\nidentify: [id]\n"

const simple = head + "data: {mailbox: '{{ .mailbox }}', add: !list '{{ .add }}'}\n"

// data is the data that a mapping makes of a table with a single row.
func data(t *testing.T, mapping, table string) (string, apptest.Result) {
	t.Helper()
	r := run(t, files(t, map[string]string{"map.yaml": mapping, "in.csv": table}), "--dry-run", "--json")
	if r.Code != 0 {
		return "", r
	}
	var s struct {
		Examples []struct{ Data json.RawMessage }
	}
	if err := json.Unmarshal([]byte(r.Out), &s); err != nil || len(s.Examples) == 0 {
		t.Fatalf("%v: %s", err, r.Out)
	}
	return string(s.Examples[0].Data), r
}

func TestMapping(t *testing.T) {
	t.Parallel()
	const table = "id,mailbox,add,First name,yes,n,day,empty,dn\n1, Alex@Contoso.com ,a@x; b@x,Ann,Yes,42,01.12.2026,,\"a,b\"\n"
	business := "type: directory.businessuser.create\ntenant: contoso\nsource: /hr\nidentify: [id]\ndateformat: 02.01.2006\ntimezone: Europe/Berlin\n" +
		"data:\n  container: LDAP://OU=a\n  preferredDomainController: dc\n  userPrincipalName: a@b\n"
	const made = `"container":"LDAP://OU=a","preferredDomainController":"dc","userPrincipalName":"a@b"`
	for name, c := range map[string]struct{ mapping, want string }{
		"functions in a pipe":   {head + "data: {mailbox: '{{ .mailbox | trim | lower }}', add: [x]}", `{"add":["x"],"mailbox":"alex@contoso.com"}`},
		"list of a cell":        {head + "data: {mailbox: m, add: !list '{{ .add }}'}", `{"add":["a@x","b@x"],"mailbox":"m"}`},
		"list of templates":     {head + "data: {mailbox: m, add: ['{{ .empty }}', '{{ .id }}']}", `{"add":["1"],"mailbox":"m"}`},
		"left out when empty":   {head + "data: {mailbox: m, add: [x], remove: !list '{{ .empty }}'}", `{"add":["x"],"mailbox":"m"}`},
		"column with a space":   {head + `data: {mailbox: '{{ col "First name" | upper }}', add: [x]}`, `{"add":["x"],"mailbox":"ANN"}`},
		"default":               {head + "data: {mailbox: '{{ .empty | default .id }}', add: [x]}", `{"add":["x"],"mailbox":"1"}`},
		"condition":             {head + "data: {mailbox: '{{ if eq .yes \"Yes\" }}a{{ else }}b{{ end }}', add: [x]}", `{"add":["x"],"mailbox":"a"}`},
		"replace":               {head + "data: {mailbox: '{{ .add | replace \";\" \"/\" }}', add: [x]}", `{"add":["x"],"mailbox":"a@x/ b@x"}`},
		"boolean":               {business + "  isAdmin: !!bool '{{ .yes }}'\n", `{` + strings.Replace(made, `,"pref`, `,"isAdmin":true,"pref`, 1) + `}`},
		"a whole part left out": {business + "  isAdmin: false\n  properties: [{name: n, values: ['{{ .empty }}']}]\n", `{` + strings.Replace(made, `,"pref`, `,"isAdmin":false,"pref`, 1) + `}`},
		"date":                  {business + "  isAdmin: false\n  description: '{{ .day | date \"rfc3339\" }}'\n", `{"container":"LDAP://OU=a","description":"2026-12-01T00:00:00+01:00","isAdmin":false,"preferredDomainController":"dc","userPrincipalName":"a@b"}`},
		"DN":                    {head + "data: {mailbox: 'CN={{ dn .dn }}', add: [x]}", `{"add":["x"],"mailbox":"CN=a\\,b"}`},
		"whole number": {"type: delegation.read\ntenant: c\nsource: /s\nidentify: [id]\ndata: {pageSize: !!int '{{ .n }}'}",
			`{"pageSize":42}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, r := data(t, c.mapping, table)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s%s", diff, r.Err)
			}
		})
	}
}

func TestWrongMapping(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ mapping, want string }{
		"no type":            {"source: /s\n", "type is missing"},
		"no command":         {"type: mailbox.created\nsource: /s\nidentify: [id]\n", "mailbox.created is no command"},
		"no source":          {"type: inventory.sync\nidentify: [id]\n", "source is missing"},
		"no id":              {"type: inventory.sync\nsource: /s\n", "id or identify is missing"},
		"id of no column":    {"type: inventory.sync\nsource: /s\nid: x\n", "id has no column in it"},
		"unknown member":     {simple + "colour: red\n", "line 6: colour: is not known here"},
		"twice":              {simple + "tenant: x\n", "line 6: tenant stands here a second time"},
		"unknown column":     {strings.Replace(simple, ".mailbox", ".mialbox", 1), `line 5: /mailbox: no column "mialbox"`},
		"columns that are":   {strings.Replace(simple, ".mailbox", ".mialbox", 1), "it has id, mailbox, add, pw"},
		"no quotes":          {head + "data:\n  mailbox: {{ .mailbox }}\n", "a template needs quotes around it"},
		"no template":        {head + "data: {mailbox: '{{ .mailbox '}\n", "is no template"},
		"unknown function":   {head + "data: {mailbox: '{{ .mailbox | shout }}'}\n", `function "shout" not defined`},
		"the whole row":      {head + "data: {mailbox: '{{ . }}'}\n", "is the whole row"},
		"range":              {head + "data: {mailbox: '{{ range .mailbox }}{{ end }}'}\n", "is not taken here"},
		"unknown tag":        {head + "data: {mailbox: !date '{{ .mailbox }}'}\n", "the tag !date is not known"},
		"time zone":          {"timezone: Mars/Base\n" + simple, "is no time zone"},
		"secret in subject":  {secretMapping + "subject: '{{ .pw }}'\n", `subject: uses the column "pw", which holds a secret (/newPassword)`},
		"secret elsewhere":   {secretMapping + "  description: '{{ .pw }}'\n", `/description: uses the column "pw"`},
		"secret identifying": {strings.Replace(secretMapping, "[id]", "[pw]", 1), `identify: uses the column "pw"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, r := data(t, c.mapping, "id,mailbox,add,pw\n1,m,a,hunter2\n")
			want(t, r, app.ExitUsage, c.want)
		})
	}
}

const secretMapping = "type: directory.businessuser.create\ntenant: contoso\nsource: /hr\nidentify: [id]\ndata:\n  newPassword: '{{ .pw }}'\n  container: LDAP://x\n" +
	"  preferredDomainController: dc\n  isAdmin: false\n  userPrincipalName: '{{ .mailbox }}'\n"

func TestTable(t *testing.T) {
	t.Parallel()
	const good = `{"add":["a"],"mailbox":"ä"}`
	for name, c := range map[string]struct {
		table, want string
		args        []string
	}{
		"comma":               {"id,mailbox,add\n1,ä,a\n", "", nil},
		"semicolon":           {"id;mailbox;add\n1;ä;a\n", "", nil},
		"tab":                 {"id\tmailbox\tadd\n1\tä\ta\n", "", nil},
		"byte order mark":     {"\ufeffid,mailbox,add\n1,ä,a\n", "", nil},
		"sep line":            {"sep=;\r\nid;mailbox;add\r\n1;ä;a\r\n", "", nil},
		"quoted":              {"\"id\",\"mailbox\",\"add\"\r\n\"1\",\"ä\",\"a\"\r\n", "", nil},
		"empty rows":          {"id,mailbox,add\n\n1,ä,a\n,,\n", "", nil},
		"named":               {"id;mailbox;add\n1;ä;a\n", "", []string{"--separator", ";"}},
		"Windows-1252":        {"id,mailbox,add\n1,\xe4,a\n", "line 2: is not UTF-8 but, it seems, an older encoding such as Windows-1252", nil},
		"UTF-16":              {"\xff\xfei\x00d\x00", "is UTF-16 LE", nil},
		"old workbook":        {"\xd0\xcf\x11\xe0", "is an old .xls workbook", nil},
		"empty":               {"", "is empty", nil},
		"no header":           {"hunter2,x\n1,2\n", "has none of the mapping's columns; is it the header?", nil},
		"header alone":        {"id,mailbox,add\n", "has no row below its header", nil},
		"column twice":        {"id,id,add\n1,2,3\n", "columns 1 and 2 have the same name", nil},
		"undecided":           {"id,a;b\n", "as many of one separator as of another", nil},
		"unknown separator":   {"id\n1\n", "the separator \"|\" is not known", []string{"--separator", "|"}},
		"sheet of a CSV":      {"id\n1\n", "is no .xlsx workbook", []string{"--sheet", "a"}},
		"quotation mark":      {"id,mailbox,add\n1,a\"b,hunter2\n", "line 2: a quotation mark", nil},
		"a cell too many":     {"id,mailbox,add\n1,ä,a,b\n", "row 2: has 4 cells, and the header 3", nil},
		"a cell too few":      {"id,mailbox,add\n1,ä\n", "row 2: has 2 cells, and the header 3", nil},
		"row after empty":     {"id,mailbox,add\n\n\"1\",\"ä\n\",a\n\n2,,a\n", "row 5, column mailbox: /mailbox is missing", nil},
		"spreadsheet's error": {"id,mailbox,add\n1,#N/A,a\n", "row 2: column mailbox: holds a spreadsheet's error", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, files(t, map[string]string{"map.yaml": simple, "in.csv": c.table}), append(c.args, "--dry-run", "--json")...)
			if c.want != "" {
				want(t, r, app.ExitUsage, strings.Replace(c.want, ", column", ": column", 1))
			} else if r.Code != 0 || !strings.Contains(r.Out, good) {
				t.Errorf("%s%s", r.Out, r.Err)
			}
			if strings.Contains(r.Err, "hunter2") {
				t.Errorf("a cell shows: %s", r.Err)
			}
		})
	}
}

func TestWorkbook(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	if _, err := f.NewSheet("December"); err != nil {
		t.Fatal(err)
	}
	custom := "00000"
	day, err := f.NewStyle(&excelize.Style{NumFmt: 14})
	number, err2 := f.NewStyle(&excelize.Style{CustomNumFmt: &custom})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for cell, v := range map[string]any{"A1": "id", "B1": "mailbox", "C1": "add", "A3": 42, "B3": 46357, "C3": 1234567890123} {
		if err := f.SetCellValue("December", cell, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SetCellStyle("December", "A3", "A3", number); err != nil {
		t.Fatal(err)
	}
	if err := f.SetCellStyle("December", "B3", "B3", day); err != nil {
		t.Fatal(err)
	}
	dir := files(t, map[string]string{"map.yaml": simple + "subject: '{{ .id }}'\n"})
	if err := f.SaveAs(filepath.Join(dir, "in.xlsx")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "in.xlsx"), filepath.Join(dir, "in.csv")); err != nil {
		t.Fatal(err)
	}
	r := run(t, dir, "--dry-run", "--json", "--sheet", "December")
	for _, part := range []string{`"row":3`, `"subject":"00042"`, `"mailbox":"2026-12-01"`, `"add":["1234567890123"]`} {
		if !strings.Contains(r.Out, part) {
			t.Errorf("no %s in %s%s", part, r.Out, r.Err)
		}
	}
	want(t, run(t, dir, "--dry-run", "--sheet", "May"), app.ExitUsage, `has no sheet "May"; it has Sheet1, December`)
	want(t, run(t, dir, "--dry-run"), app.ExitUsage, `the sheet "Sheet1" is empty`)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"retry without a number": {[]string{"--only-failed", "x.csv"}, "--only-failed needs --attempt"},
		"number without a retry": {[]string{"--attempt", "2"}, "--attempt needs --only-failed"},
		"in flight":              {[]string{"--in-flight", "0"}, "--in-flight must be at least 1"},
		"other tenant":           {[]string{"--tenant", "fabrikam"}, "tenant is another in the mapping than in --tenant"},
		"result is the input":    {[]string{"--result", "DIR/in.csv"}, "is no result file of an import"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := files(t, map[string]string{"map.yaml": simple, "in.csv": "id,mailbox,add\n1,m,a\n"})
			for i := range c.args {
				c.args[i] = strings.ReplaceAll(c.args[i], "DIR", dir)
			}
			want(t, run(t, dir, c.args...), app.ExitUsage, c.want)
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	apptest.Golden(t, "help.txt", apptest.Help(t, "import", &bulk.Command{}))
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("id,mailbox,pw\n")
	for i := range 20 {
		mailbox := "a@b"
		if i%3 == 0 {
			mailbox = "hunter2"
		}
		fmt.Fprintf(&table, "%d,%s,hunter2\n", i, mailbox)
	}
	table.WriteString("0,a@b,hunter2\n,a@b,x\n99,a@b,\n98,a@b,x,y\n")
	mapping := strings.Replace(secretMapping, "{{ .pw }}", "{{ required .pw }}", 1) + "  planName: ''\n"
	dir := files(t, map[string]string{"map.yaml": mapping, "in.csv": table.String()})
	r := run(t, dir, "--nats-url", "nats://127.0.0.1:1")
	want(t, r, app.ExitUsage, "nothing was published")
	if strings.Contains(r.Err+r.Out, "hunter2") {
		t.Errorf("a cell shows: %s", r.Err)
	}
	apptest.Golden(t, "faults.txt", r.Err)
}

func TestExamples(t *testing.T) {
	t.Parallel()
	const dir = "../../../../examples/import/"
	for input, mapping := range map[string]string{"hires.csv": "joiner.yaml", "delegates.csv": "delegates.yaml"} {
		r := apptest.Run(t.Context(), t, apptest.Call{Name: "import", Command: &bulk.Command{}, Args: []string{dir + input, "--map", dir + mapping, "--dry-run"}})
		want(t, r, 0, "")
		if strings.Contains(r.Out, "Example-Only") {
			t.Errorf("a password shows:\n%s", r.Out)
		}
		apptest.Golden(t, input+".txt", r.Out)
	}
}

func BenchmarkCheck(b *testing.B) {
	dir := b.TempDir()
	var table strings.Builder
	table.WriteString("id,mailbox,add\n")
	for i := range b.N {
		fmt.Fprintf(&table, "%d,box%d@contoso.com,dana@contoso.com;eve@contoso.com\n", i, i)
	}
	_ = os.WriteFile(filepath.Join(dir, "in.csv"), []byte(table.String()), 0o600)
	_ = os.WriteFile(filepath.Join(dir, "map.yaml"), []byte(simple), 0o600)
	c := &bulk.Command{File: filepath.Join(dir, "in.csv"), Map: filepath.Join(dir, "map.yaml"), DryRun: true, InFlight: 1, Attempt: 1}
	b.ResetTimer()
	if err := c.Run(b.Context(), &app.App{Globals: app.Globals{State: dir}, Out: io.Discard, Err: io.Discard}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
