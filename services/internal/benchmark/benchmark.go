// Package benchmark gathers what benchmarks measure into one file, each value beside the floor that
// was measured in the same run.
package benchmark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Row is one value that was measured.
type Row struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// CPU of client and server together, each.
	CPU float64 `json:"cpuMicroseconds,omitempty"`
	// Ratio to the floor of the same run; 0: the row is a floor itself, or needs none.
	Ratio float64 `json:"ratio,omitempty"`
	// Target of the ratio, or where there is none, the most that the value may be; 0: none was set.
	Target float64 `json:"target,omitempty"`
	// OK says that the target was met.
	OK bool `json:"ok"`
}

// results is the file.
type results struct {
	Machine map[string]any `json:"machine"`
	Rows    []Row          `json:"rows"`
}

// Report prints the rows, fails where a target is missed, and adds them to the file that BENCH_JSON
// names, in the place of earlier ones of the same names.
func Report(b *testing.B, rows ...Row) {
	b.Helper()
	name.Do(func() { _, _ = fmt.Fprintln(os.Stdout, "bench: on", machine()) })
	for _, r := range rows {
		line := fmt.Sprintf("bench: %-80s %10.1f %s", r.Name, r.Value, r.Unit)
		if r.CPU > 0 {
			line += fmt.Sprintf("  %.0f us of CPU each", r.CPU)
		}
		if r.Ratio > 0 {
			line += fmt.Sprintf("  %.2f of the floor", r.Ratio)
		}
		if r.Target > 0 && !r.OK {
			b.Errorf("%s: the target, %v, is missed", r.Name, r.Target)
		}
		_, _ = fmt.Fprintln(os.Stdout, line) // of a benchmark's log the test runner shows ten lines
	}
	file := os.Getenv("BENCH_JSON")
	if file == "" {
		return
	}
	if err := add(file, rows); err != nil {
		b.Fatal(err)
	}
}

// name prints once on which machine this is.
var name sync.Once

// machine describes where the values were measured, and how busy it was just then. What the system
// does not tell is left out.
func machine() map[string]any {
	m := map[string]any{"cpus": runtime.NumCPU(), "go": runtime.Version(), "os": runtime.GOOS + "/" + runtime.GOARCH}
	for name, file := range map[string]struct{ path, field string }{"cpu": {"/proc/cpuinfo", "model name"}, "memory": {"/proc/meminfo", "MemTotal"}} {
		raw, _ := os.ReadFile(file.path)
		for line := range strings.Lines(string(raw)) {
			if field, value, _ := strings.Cut(line, ":"); strings.TrimSpace(field) == file.field {
				m[name] = strings.TrimSpace(value)
				break
			}
		}
	}
	if raw, err := os.ReadFile("/proc/loadavg"); err == nil {
		m["load"] = strings.Join(strings.Fields(string(raw))[:3], " ")
	}
	return m
}

func add(file string, rows []Row) error {
	var all results
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all.Machine = machine()
	for _, r := range rows {
		if i := slices.IndexFunc(all.Rows, func(old Row) bool { return old.Name == r.Name }); i >= 0 {
			all.Rows[i] = r
		} else {
			all.Rows = append(all.Rows, r)
		}
	}
	if raw, err = json.MarshalIndent(all, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o600)
}
