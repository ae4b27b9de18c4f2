package bulk

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

var byteOrderMark = []byte{0xEF, 0xBB, 0xBF}

// readCSV reads RFC 4180. A first line such as sep=; , which Excel writes and reads, names the
// separator.
func readCSV(raw []byte, separator string) (table, error) {
	raw = bytes.TrimPrefix(raw, byteOrderMark)
	if err := checkEncoding(raw); err != nil {
		return table{}, err
	}
	lines := 0 // before the header
	if named, rest, ok := namedSeparator(raw); ok {
		raw, lines = rest, 1
		if separator == "" {
			separator = named
		}
	}
	comma, err := separatorOf(raw, separator)
	if err != nil {
		return table{}, err
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.Comma = comma
	r.FieldsPerRecord = -1
	names, err := r.Read()
	if errors.Is(err, io.EOF) {
		return table{}, errors.New("is empty; its first row must name the columns")
	}
	if err != nil {
		return table{}, csvError(err)
	}
	t, err := header(names)
	if err != nil {
		return table{}, err
	}
	return t, t.readRows(r, lines+1, names)
}

// readRows reads what follows the header, which is the row of this number.
func (t *table) readRows(r *csv.Reader, number int, names []string) error {
	start, _ := r.FieldPos(0)
	// the line on which the next row begins, if no empty line stands before it
	next := start + 1 + lineBreaks(names)
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvError(err)
		}
		line, _ := r.FieldPos(0)
		number += 1 + line - next // csv.Reader passes over empty lines, which a spreadsheet counts
		next = line + 1 + lineBreaks(cells)
		if len(cells) > maxCells {
			return fmt.Errorf("row %d has more than %d cells", number, maxCells)
		}
		if err := t.add(number, cells, true); err != nil {
			return err
		}
	}
}

func lineBreaks(cells []string) (n int) {
	for _, c := range cells {
		n += strings.Count(c, "\n")
	}
	return n
}

// csvError words an error of the reader without the text that it read.
func csvError(err error) error {
	parse, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return err
	}
	problem := parse.Err.Error()
	switch {
	case errors.Is(parse.Err, csv.ErrBareQuote):
		problem = `a quotation mark stands within a cell that is not quoted; write "" for it, and quote the cell`
	case errors.Is(parse.Err, csv.ErrQuote):
		problem = "a quoted cell does not end, or text follows its closing quotation mark"
	}
	return fmt.Errorf("line %d: %s", parse.StartLine, problem)
}

// checkEncoding refuses all but UTF-8, and names what the file seems to be.
func checkEncoding(raw []byte) error {
	const remedy = "; save it as UTF-8 (in Excel: CSV UTF-8)"
	switch {
	case bytes.HasPrefix(raw, []byte{0xFF, 0xFE, 0, 0}), bytes.HasPrefix(raw, []byte{0, 0, 0xFE, 0xFF}):
		return errors.New("is UTF-32" + remedy)
	case bytes.HasPrefix(raw, []byte{0xFF, 0xFE}):
		return errors.New("is UTF-16 LE (in Excel: Unicode Text)" + remedy)
	case bytes.HasPrefix(raw, []byte{0xFE, 0xFF}):
		return errors.New("is UTF-16 BE" + remedy)
	case bytes.IndexByte(raw, 0) >= 0:
		return errors.New("holds NUL bytes: it is UTF-16 without a byte order mark, or no text" + remedy)
	case utf8.Valid(raw):
		return nil
	}
	at := 0
	for at < len(raw) {
		r, size := utf8.DecodeRune(raw[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	line := 1 + bytes.Count(raw[:at], []byte("\n"))
	return fmt.Errorf("line %d: is not UTF-8 but, it seems, an older encoding such as Windows-1252%s", line, remedy)
}

func namedSeparator(raw []byte) (separator string, rest []byte, ok bool) {
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	named, ok := strings.CutPrefix(strings.TrimRight(string(line), "\r"), "sep=")
	return named, rest, ok && len(named) == 1
}

// separators by the names that --separator takes.
var separators = map[string]rune{",": ',', "comma": ',', ";": ';', "semicolon": ';', "\t": '\t', `\t`: '\t', "tab": '\t'}

// separatorOf gives the named separator, else the one that the header has most of.
func separatorOf(raw []byte, name string) (rune, error) {
	if name != "" {
		comma, ok := separators[name]
		if !ok {
			return 0, fmt.Errorf("the separator %q is not known; it is one of , ; tab", name)
		}
		return comma, nil
	}
	counts := map[rune]int{}
	quoted := false
scan:
	for _, c := range string(raw[:min(len(raw), 1<<16)]) {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			break scan
		case c == ',' || c == ';' || c == '\t':
			counts[c]++
		}
	}
	best, tie := ',', false
	for _, c := range []rune{';', '\t'} {
		switch {
		case counts[c] > counts[best]:
			best, tie = c, false
		case counts[c] == counts[best] && counts[c] > 0:
			tie = true
		}
	}
	if tie {
		return 0, errors.New("the header has as many of one separator as of another; name it by --separator , or ; or tab")
	}
	return best, nil
}
