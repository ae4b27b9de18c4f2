package projection

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// show prints a report: the tables, then the rows that differ, then the sum.
func show(a *app.App, r replay.Report) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	if len(r.Tables) > 0 {
		w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "TABLE\tROWS\tREPLAYED\tCHECKSUM\tDIFFERENCES")
		for _, t := range r.Tables {
			checksum := t.Live.Checksum
			if t.Replayed.Checksum != checksum {
				checksum += ", replayed " + t.Replayed.Checksum
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\n", t.Name, t.Live.Rows, t.Replayed.Rows, checksum, t.Differences)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, t := range r.Tables {
		for _, why := range slices.Sorted(maps.Keys(t.Limits)) {
			fmt.Fprintf(a.Out, "%s: %d not compared: %s\n", t.Name, t.Limits[why], why)
		}
		for _, d := range t.Examples {
			fmt.Fprintf(a.Out, "%s %s: %s\n", t.Name, key(d.Key), describe(d))
		}
		if more := t.Differences - len(t.Examples); more > 0 {
			fmt.Fprintf(a.Out, "%s: %d more\n", t.Name, more)
		}
	}
	if r.NotCompared != "" {
		fmt.Fprintf(a.Out, "not compared: %s\n", r.NotCompared)
	}
	sum := "projections: %d messages replayed in %.1f s"
	if len(r.Tables) > 0 {
		sum += fmt.Sprintf(", %d tables compared, %d differences", len(r.Tables), r.Differences())
	}
	if r.Swapped {
		sum += "; the replayed rows are the live ones now"
	}
	_, err := fmt.Fprintf(a.Out, sum+"\n", r.Messages, r.Seconds)
	return err
}

func key(columns map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		parts = append(parts, name+"="+value(columns[name]))
	}
	return strings.Join(parts, " ")
}

func describe(d replay.Difference) string {
	switch d.Kind {
	case replay.Missing:
		return "missing: a replay gives this row"
	case replay.Surplus:
		return "surplus: a replay does not give this row"
	}
	var parts []string
	for _, c := range d.Columns {
		parts = append(parts, fmt.Sprintf("%s is %s, replayed %s", c.Name, value(c.Live), value(c.Replayed)))
	}
	return "changed: " + strings.Join(parts, "; ")
}

// maxValueLength is the length of the longest value that is printed whole.
const maxValueLength = 100

// value prints a value on one line, as JSON.
func value(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	text := []rune(string(app.EscapeJSON(raw)))
	if len(text) > maxValueLength {
		return string(text[:maxValueLength]) + "…"
	}
	return string(text)
}
