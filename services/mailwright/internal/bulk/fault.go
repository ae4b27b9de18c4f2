package bulk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/internal/render"
)

// fault is one thing wrong with a row. It quotes no cell: that may be a secret.
type fault struct {
	row     int
	columns []string
	field   string // JSON Pointer into the data, or the name of an attribute; "": the row itself
	problem string
}

func (f fault) text() string {
	text := strings.TrimSpace(f.field + " " + f.problem)
	switch len(f.columns) {
	case 0:
		return text
	case 1:
		return fmt.Sprintf("column %s: %s", f.columns[0], text)
	default:
		return fmt.Sprintf("columns %s: %s", strings.Join(f.columns, ", "), text)
	}
}

// maxShownFaults bounds the different faults that are printed: the first ones show what is wrong.
const maxShownFaults = 30

// describeFaults lists faults; a fault that many rows share is listed once.
func describeFaults(faults []fault) string {
	rows := map[string][]int{}
	var texts []string
	for _, f := range faults {
		text := f.text()
		if rows[text] == nil {
			texts = append(texts, text)
		}
		rows[text] = append(rows[text], f.row)
	}
	var b strings.Builder
	for _, text := range texts[:min(len(texts), maxShownFaults)] {
		fmt.Fprintf(&b, "\n  %s: %s", describeRows(rows[text]), render.OneLine(text))
	}
	if more := len(texts) - maxShownFaults; more > 0 {
		fmt.Fprintf(&b, "\n  and %s", render.Count(more, "other fault", "other faults"))
	}
	return b.String()
}

// maxShownRanges is how many ranges of rows a fault names.
const maxShownRanges = 5

// describeRows writes numbers of rows in ascending order: row 3; rows 2-5, 9 and 12 more.
func describeRows(rows []int) string {
	rows = slices.Compact(rows)
	if len(rows) == 1 {
		return fmt.Sprintf("row %d", rows[0])
	}
	var ranges []string
	described := 0
	for i := 0; i < len(rows) && len(ranges) < maxShownRanges; described = i {
		end := i
		for end+1 < len(rows) && rows[end+1] == rows[end]+1 {
			end++
		}
		if end > i {
			ranges = append(ranges, fmt.Sprintf("%d-%d", rows[i], rows[end]))
		} else {
			ranges = append(ranges, fmt.Sprint(rows[i]))
		}
		i = end + 1
	}
	text := "rows " + strings.Join(ranges, ", ")
	if more := len(rows) - described; more > 0 {
		text += fmt.Sprintf(" and %s more", render.Thousands(more))
	}
	return text
}
