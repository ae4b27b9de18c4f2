package replay

// Report is the result of a verify or a rebuild. Its JSON form is stable: members may be added, and
// none changes its meaning.
type Report struct {
	// Tables are the compared tables, sorted by name: those whose live rows reflect the streams
	// that were replayed.
	Tables    []Table    `json:"tables"`
	Positions []Position `json:"positions"`
	// Messages is the number of messages read. A message that several projections follow counts
	// once.
	Messages uint64  `json:"messages"`
	Seconds  float64 `json:"seconds"`
	// Swapped is true if the replayed rows are the live ones now.
	Swapped bool `json:"swapped"`
	// NotCompared says why some or all tables were not compared; empty if all were.
	NotCompared string `json:"notCompared,omitempty"`
}

// Differences is the number of differing rows in all tables.
func (r Report) Differences() (n int) {
	for _, t := range r.Tables {
		n += t.Differences
	}
	return n
}

// Position is the sequence up to which a projection was replayed.
type Position struct {
	Projection string `json:"projection"`
	Stream     string `json:"stream"`
	Sequence   int64  `json:"sequence"`
}

// Table is the comparison of a table.
type Table struct {
	Name string `json:"name"`
	// Live and Replayed are the sums of the two sides. They do not depend on the order of rows.
	Live     Sum `json:"live"`
	Replayed Sum `json:"replayed"`
	// Differences is the number of differing rows, without those in Limits.
	Differences int `json:"differences"`
	// Limits is the number of rows that a replay cannot give, by the reason.
	Limits map[string]int `json:"limits,omitempty"`
	// Examples are the first differing rows.
	Examples []Difference `json:"examples,omitempty"`
}

// Sum is the number of rows and a checksum over all of them, in 16 hexadecimal digits.
type Sum struct {
	Rows     int64  `json:"rows"`
	Checksum string `json:"checksum"`
}

// Difference is a live row that is not as a replay gives it.
type Difference struct {
	// Kind is changed, missing (only the replay has the row) or surplus (only the live table has
	// it).
	Kind string `json:"kind"`
	// Key is the primary key: values by column.
	Key map[string]any `json:"key"`
	// Columns are the differing columns of a changed row.
	Columns []Column `json:"columns,omitempty"`

	row map[string]any // the live row; the replayed one if it is missing
}

// The kinds of differences.
const (
	Changed = "changed"
	Missing = "missing"
	Surplus = "surplus"
)

// Column is a differing column of a row.
type Column struct {
	Name     string `json:"name"`
	Live     any    `json:"live"`
	Replayed any    `json:"replayed"`
}
