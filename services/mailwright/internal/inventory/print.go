package inventory

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// column is a column of a listing. A table is printed row by row, so the width is fixed.
type column struct {
	name  string
	width int
	right bool // numbers
}

// record is a row: values in the order of columns for people and CSV, and the document for --json.
type record struct {
	values   []any
	document json.RawMessage
}

// printer prints rows as they come.
type printer interface {
	row(record) error
	end() error
}

type jsonLines struct{ app *app.App }

func (j jsonLines) row(r record) error { return j.app.PrintJSON(r.document) }
func (jsonLines) end() error           { return nil }

type csvFile struct{ writer *csv.Writer }

func newCSV(to io.Writer, columns []column) csvFile {
	w := csvFile{csv.NewWriter(to)}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	_ = w.writer.Write(names) // end reports it
	return w
}

func (w csvFile) row(r record) error {
	cells := make([]string, len(r.values))
	for i, v := range r.values {
		cells[i] = escapeFormula(text(v, time.RFC3339))
	}
	return w.writer.Write(cells)
}

// escapeFormula keeps a spreadsheet from taking a vendor's text for a formula (OWASP, CSV
// Injection).
func escapeFormula(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (w csvFile) end() error {
	w.writer.Flush()
	return w.writer.Error()
}

type table struct {
	to      io.Writer
	columns []column
	rows    int
}

func newTable(to io.Writer, columns []column) *table { return &table{to: to, columns: columns} }

func (t *table) row(r record) error {
	if t.rows == 0 {
		heading := make([]any, len(t.columns))
		for i, c := range t.columns {
			heading[i] = strings.ToUpper(strings.ReplaceAll(c.name, "_", " "))
		}
		if err := t.print(heading); err != nil {
			return err
		}
	}
	t.rows++
	return t.print(r.values)
}

func (t *table) print(values []any) error {
	cells := make([]string, len(values))
	for i, v := range values {
		cells[i] = t.columns[i].fit(render.OneLine(text(v, time.DateTime)))
	}
	_, err := fmt.Fprintln(t.to, strings.TrimRight(strings.Join(cells, "  "), " "))
	return err
}

func (t *table) end() error { return nil }

// fit makes a text as wide as its column. The last column has no width.
func (c column) fit(s string) string {
	n := utf8.RuneCountInString(s)
	switch {
	case c.width == 0:
		return s
	case n > c.width:
		return string([]rune(s)[:c.width-1]) + "…"
	case c.right:
		return strings.Repeat(" ", c.width-n) + s
	default:
		return s + strings.Repeat(" ", c.width-n)
	}
}

// text writes a value of Postgres; times local for people, in UTC for programs.
func text(v any, layout string) string {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		if layout == time.DateTime {
			return v.Local().Format(layout)
		}
		return v.UTC().Format(layout)
	case map[string]any, []any:
		raw, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(raw)
	default:
		return fmt.Sprint(v)
	}
}
