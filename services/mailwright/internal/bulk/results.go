package bulk

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

// States of a record beyond those of an operation.
const (
	stateDead      = render.Dead // dead-lettered
	stateInvalid   = "invalid"   // not published
	statePublished = "published" // with --no-wait
	stateOpen      = "open"      // without an outcome when the run ended
)

// record is the outcome of a row: a line of the result file, and of --json.
type record struct {
	Row       int      `json:"row"`
	ID        string   `json:"id"`
	Operation string   `json:"operationId"`
	Attempt   int      `json:"attempt"`
	State     string   `json:"state"`
	Reason    string   `json:"reason,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// isFinal reports whether the row has an outcome, which another run with the same id would only
// repeat.
func (r record) isFinal() bool { return event.State(r.State).Terminal() || r.State == stateDead }

// hasFailed reports whether the row did not succeed and may be tried again under another id.
func (r record) hasFailed() bool {
	return r.isFinal() && r.State != string(event.StateSucceeded) || r.State == stateInvalid
}

var resultColumns = []string{"row", "id", "operation", "attempt", "state", "reason", "warnings"}

func (r record) cells() []string {
	return []string{
		strconv.Itoa(r.Row), escapeFormula(r.ID), r.Operation, strconv.Itoa(r.Attempt), r.State, escapeFormula(r.Reason),
		escapeFormula(strings.Join(r.Warnings, " | ")),
	}
}

// escapeFormula keeps a spreadsheet from taking a vendor's text for a formula.
func escapeFormula(s string) string {
	s = render.OneLine(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

func readRecord(cells []string) (record, bool) {
	if len(cells) != len(resultColumns) {
		return record{}, false
	}
	row, err := strconv.Atoi(cells[0])
	attempt, err2 := strconv.Atoi(cells[3])
	r := record{Row: row, ID: cells[1], Operation: cells[2], Attempt: attempt, State: cells[4], Reason: cells[5]}
	if cells[6] != "" {
		r.Warnings = []string{cells[6]}
	}
	return r, err == nil && err2 == nil
}

// outcomes are the records of a result file by operation: the last that is final, else the last.
type outcomes map[string]record

// readResults reads a result file, and tells how long its whole lines are: a run that was killed
// may have left a part of one.
func readResults(path string) (outcomes, int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	r := csv.NewReader(bytes.NewReader(raw[:bytes.LastIndexByte(raw, '\n')+1]))
	r.FieldsPerRecord = -1
	names, err := r.Read()
	if errors.Is(err, io.EOF) {
		return outcomes{}, 0, nil
	}
	if err != nil || !slices.Equal(names, resultColumns) {
		return nil, 0, fmt.Errorf("%s: is no result file of an import, whose first row is %s", path, strings.Join(resultColumns, ","))
	}
	found := outcomes{}
	for line := 2; ; line++ {
		length := r.InputOffset()
		cells, err := r.Read()
		if err != nil {
			return found, length, nil
		}
		rec, ok := readRecord(cells)
		if !ok {
			return nil, 0, fmt.Errorf("%s: row %d is no result; name another file by --result", path, line)
		}
		// a row that repeats another's id is invalid, and has its operation
		if !found[rec.Operation].isFinal() || rec.isFinal() {
			found[rec.Operation] = rec
		}
	}
}

// resultFile is a result file that is written to, line by line.
type resultFile struct {
	file    *os.File
	csv     *csv.Writer
	pending int
}

// maxPending is how many lines may stand in memory: a crash loses these, and the record answers for
// them when the import runs again.
const maxPending = 100

func defaultResultFile(input string, plan bool) string {
	kind := ".result.csv"
	if plan {
		kind = ".plan.csv"
	}
	return strings.TrimSuffix(input, filepath.Ext(input)) + kind
}

// earlierResults reads a result file that may not exist.
func earlierResults(path string) (outcomes, int64, error) {
	found, length, err := readResults(path)
	if errors.Is(err, fs.ErrNotExist) {
		return outcomes{}, 0, nil
	}
	return found, length, err
}

// openResults opens a result file behind its last whole line.
func openResults(path string, length int64) (*resultFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(length); err != nil {
		_ = f.Close()
		return nil, err
	}
	r := &resultFile{file: f, csv: csv.NewWriter(f)}
	if length > 0 {
		return r, nil
	}
	if err := errors.Join(r.csv.Write(resultColumns), r.sync()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return r, nil
}

func (r *resultFile) write(rec record) error {
	r.pending++
	if err := r.csv.Write(rec.cells()); err != nil || r.pending < maxPending {
		return err
	}
	return r.sync()
}

// sync puts what was written onto the disk.
func (r *resultFile) sync() error {
	r.pending = 0
	r.csv.Flush()
	if err := r.csv.Error(); err != nil {
		return err
	}
	return r.file.Sync()
}

func (r *resultFile) close() error { return errors.Join(r.sync(), r.file.Close()) }
