package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// table is a sheet with named columns.
type table struct {
	columns []string
	rows    []row
}

// row is a row of a table.
type row struct {
	number int // as a spreadsheet counts: the header is row 1
	cells  map[string]string
	fault  string // why its cells cannot be assigned to columns; "": they can
}

// Bounds of an input. They keep a wrong file from taking the machine's memory.
const (
	maxFile  = 256 << 20 // bytes, also of an unpacked workbook
	maxRows  = 500_000
	maxCells = 1_000 // in a row
)

// source says how a file is to be read.
type source struct {
	path      string
	separator string // "": found out
	sheet     string // "": the first
}

// First bytes of the formats that are told apart.
var (
	zipStart = []byte("PK\x03\x04")
	oleStart = []byte{0xD0, 0xCF, 0x11, 0xE0}
)

// readTable reads a CSV file or a workbook. The first bytes of the file decide which it is, not its
// name.
func readTable(s source) (table, error) {
	raw, err := readFile(s.path)
	if err != nil {
		return table{}, err
	}
	var t table
	switch {
	case bytes.HasPrefix(raw, zipStart) && s.separator != "":
		err = errors.New("is a workbook; --separator is for CSV")
	case bytes.HasPrefix(raw, zipStart):
		t, err = readXLSX(raw, s.sheet)
	case bytes.HasPrefix(raw, oleStart):
		err = errors.New("is an old .xls workbook, or one with a password; save it as .xlsx or CSV UTF-8")
	case s.sheet != "":
		err = errors.New("is no .xlsx workbook; --sheet is for workbooks")
	default:
		t, err = readCSV(raw, s.separator)
	}
	if err != nil {
		return table{}, fmt.Errorf("%s: %w", s.path, err)
	}
	if len(t.rows) == 0 {
		return table{}, fmt.Errorf("%s: has no row below its header", s.path)
	}
	return t, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s: has more than %d MB; split it", path, maxFile>>20)
	}
	return raw, err
}

// header starts a table with the names of its columns. A name may be empty; its column cannot be
// used.
func header(names []string) (table, error) {
	t := table{columns: make([]string, len(names))}
	for i, name := range names {
		name = strings.TrimSpace(name)
		if first := slices.Index(t.columns[:i], name); name != "" && first >= 0 {
			return t, fmt.Errorf("columns %d and %d have the same name in the header", first+1, i+1)
		}
		t.columns[i] = name
	}
	if !slices.ContainsFunc(t.columns, func(name string) bool { return name != "" }) {
		return t, errors.New("row 1 is empty; it must name the columns")
	}
	return t, nil
}

// add appends a row. A row without any content is none. strict: the row must have as many cells as
// the header, since in a CSV file a missing separator moves every cell behind it into another
// column.
func (t *table) add(number int, cells []string, strict bool) error {
	if !slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" }) {
		return nil
	}
	if len(t.rows) == maxRows {
		return fmt.Errorf("has more than %d rows; split it", maxRows)
	}
	r := row{number: number, cells: make(map[string]string, len(t.columns))}
	beyond := cells[min(len(cells), len(t.columns)):]
	if strict && len(cells) != len(t.columns) || slices.ContainsFunc(beyond, func(c string) bool { return c != "" }) {
		r.fault = fmt.Sprintf("has %d cells, and the header %d: a separator is missing or not quoted", len(cells), len(t.columns))
	}
	for i, name := range t.columns {
		if name == "" {
			continue
		}
		r.cells[name] = ""
		if i < len(cells) {
			r.cells[name] = cells[i]
		}
	}
	t.rows = append(t.rows, r)
	return nil
}
