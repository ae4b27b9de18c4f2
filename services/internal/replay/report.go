package replay

// Report is what a verify or a rebuild found. Its form is stable: members may be added, none
// changes its meaning.
type Report struct {
	// Tables that were compared, by name: those whose live rows reflect the streams that were
	// replayed.
	Tables    []Table    `json:"tables"`
	Positions []Position `json:"positions"`
	// Messages that were replayed, each once for all projections of its stream.
	Messages uint64  `json:"messages"`
	Seconds  float64 `json:"seconds"`
	// Swapped says that the replayed rows are the live ones now.
	Swapped bool `json:"swapped"`
	// NotCompared says why some tables or all of them were not compared.
	NotCompared string `json:"notCompared,omitempty"`
}

// Differences counts the differing rows of all tables.
func (r Report) Differences() (n int) {
	for _, t := range r.Tables {
		n += t.Differences
	}
	return n
}

// Position is up to where a projection was replayed.
type Position struct {
	Projection string `json:"projection"`
	Stream     string `json:"stream"`
	Sequence   int64  `json:"sequence"`
}

// Table is how the rows of a table compare.
type Table struct {
	Name string `json:"name"`
	// Live and Replayed count rows and give a checksum over all of them, whatever their order.
	Live     Sum `json:"live"`
	Replayed Sum `json:"replayed"`
	// Differences counts the rows that differ without a reason in Limits.
	Differences int `json:"differences"`
	// Limits counts the rows that a replay cannot give, by the reason.
	Limits map[string]int `json:"limits,omitempty"`
	// Examples are the first that differ.
	Examples []Difference `json:"examples,omitempty"`
}

// Sum is a number of rows and their checksum, in 16 hexadecimal digits.
type Sum struct {
	Rows     int64  `json:"rows"`
	Checksum string `json:"checksum"`
}

// Difference is a row that is not as a replay gives it.
type Difference struct {
	// Kind is changed, missing (the replay gives it, and it is not there) or surplus (it is there,
	// and the replay does not give it).
	Kind string `json:"kind"`
	// Key has the columns of the primary key.
	Key map[string]any `json:"key"`
	// Columns that differ, where the row is changed.
	Columns []Column `json:"columns,omitempty"`

	row map[string]any // live, or replayed where it is missing
}

// The kinds of differences.
const (
	Changed = "changed"
	Missing = "missing"
	Surplus = "surplus"
)

// Column is a value that differs.
type Column struct {
	Name     string `json:"name"`
	Live     any    `json:"live"`
	Replayed any    `json:"replayed"`
}
