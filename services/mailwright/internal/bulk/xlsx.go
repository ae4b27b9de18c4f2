package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"
)

// readXLSX reads a sheet of a workbook; sheet "" is the first.
func readXLSX(raw []byte, sheet string) (table, error) {
	// With equal limits nothing is unpacked into a temporary file, where passwords would stand.
	f, err := excelize.OpenReader(bytes.NewReader(raw), excelize.Options{UnzipSizeLimit: maxFile, UnzipXMLSizeLimit: maxFile})
	if err != nil {
		return table{}, fmt.Errorf("cannot be read as an .xlsx workbook: %w", err)
	}
	defer func() { _ = f.Close() }()
	sheets := f.GetSheetList()
	switch {
	case len(sheets) == 0:
		return table{}, errors.New("has no sheet")
	case sheet == "":
		sheet = sheets[0]
	case !slices.Contains(sheets, sheet):
		return table{}, fmt.Errorf("has no sheet %q; it has %s", sheet, strings.Join(sheets, ", "))
	}
	w, err := newWorksheet(f, sheet)
	if err != nil {
		return table{}, err
	}
	return w.table()
}

// worksheet reads cells as people mean them: dates in ISO form whatever their format shows, numbers
// without a format in full, all else as it is shown.
type worksheet struct {
	file     *excelize.File
	sheet    string
	raw      [][]string
	shown    [][]string
	from1904 bool
	kinds    map[int]numberKind // by style
}

type numberKind int

const (
	formatted numberKind = iota // as it is shown, such as 00042
	general                     // in full: 1.23E+12 is shown
	date
)

func newWorksheet(f *excelize.File, sheet string) (*worksheet, error) {
	w := &worksheet{file: f, sheet: sheet, kinds: map[int]numberKind{}}
	props, err := f.GetWorkbookProps()
	if err != nil {
		return nil, err
	}
	w.from1904 = props.Date1904 != nil && *props.Date1904
	if w.raw, err = f.GetRows(sheet, excelize.Options{RawCellValue: true}); err != nil {
		return nil, err
	}
	w.shown, err = f.GetRows(sheet)
	return w, err
}

func (w *worksheet) table() (table, error) {
	if len(w.raw) == 0 {
		return table{}, fmt.Errorf("the sheet %q is empty; its first row must name the columns", w.sheet)
	}
	names, err := w.row(0)
	if err != nil {
		return table{}, err
	}
	t, err := header(names)
	if err != nil {
		return table{}, err
	}
	for i := 1; i < len(w.raw); i++ {
		cells, err := w.row(i)
		if err != nil {
			return table{}, err
		}
		if err := t.add(i+1, cells, false); err != nil {
			return table{}, err
		}
	}
	return t, nil
}

func (w *worksheet) row(at int) ([]string, error) {
	if len(w.raw[at]) > maxCells {
		return nil, fmt.Errorf("row %d has more than %d cells", at+1, maxCells)
	}
	cells := slices.Clone(w.raw[at])
	for column, raw := range cells {
		shown := ""
		if at < len(w.shown) && column < len(w.shown[at]) {
			shown = w.shown[at][column]
		}
		if raw == shown {
			continue
		}
		cell, err := w.cell(at, column, raw, shown)
		if err != nil {
			return nil, err
		}
		cells[column] = cell
	}
	return cells, nil
}

// cell reads a cell that is shown in another way than it is stored.
func (w *worksheet) cell(at, column int, raw, shown string) (string, error) {
	number, err := strconv.ParseFloat(raw, 64)
	if err != nil || shown == "TRUE" || shown == "FALSE" {
		return shown, nil
	}
	name, err := excelize.CoordinatesToCellName(column+1, at+1)
	if err != nil {
		return "", err
	}
	style, err := w.file.GetCellStyle(w.sheet, name)
	if err != nil {
		return "", err
	}
	kind, err := w.kind(style)
	switch {
	case err != nil:
		return "", err
	case kind == general:
		return raw, nil
	case kind == formatted:
		return shown, nil
	}
	t, err := excelize.ExcelDateToTime(number, w.from1904)
	if err != nil {
		return "", fmt.Errorf("cell %s: is no date: %w", name, err)
	}
	if number == float64(int64(number)) {
		return t.Format(time.DateOnly), nil
	}
	return t.Round(time.Second).Format("2006-01-02T15:04:05"), nil
}

func (w *worksheet) kind(style int) (numberKind, error) {
	if kind, ok := w.kinds[style]; ok {
		return kind, nil
	}
	s, err := w.file.GetStyle(style)
	if err != nil {
		return formatted, err
	}
	custom := ""
	if s.CustomNumFmt != nil {
		custom = *s.CustomNumFmt
	}
	w.kinds[style] = kindOf(s.NumFmt, custom)
	return w.kinds[style], nil
}

// notFormat is what a number format says beside its placeholders: quoted and escaped text, colours
// and locales.
var notFormat = regexp.MustCompile(`"[^"]*"|\\.|\[[^\]]*\]`)

// kindOf tells a date by its number format (ECMA-376, 18.8.30); those from 27 to 36 and from 50 to
// 58 are dates of eastern Asia.
func kindOf(number int, custom string) numberKind {
	placeholders := strings.ToLower(notFormat.ReplaceAllString(custom, ""))
	switch {
	case strings.ContainsAny(placeholders, "yd"):
		return date
	case custom != "" && placeholders != "general":
		return formatted
	case number >= 14 && number <= 17, number == 22, number >= 27 && number <= 36, number >= 50 && number <= 58:
		return date
	case number == 0:
		return general
	default:
		return formatted
	}
}
