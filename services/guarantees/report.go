package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// row is one line of the table.
type row struct {
	Name       string   `json:"name"`
	Promise    string   `json:"promise"`
	Fault      string   `json:"fault"`
	Commands   int      `json:"commands"`
	Faults     int      `json:"faults"`
	Violations int      `json:"value"`
	Unit       string   `json:"unit"`
	Target     int      `json:"target"`
	OK         bool     `json:"ok"`
	Examples   []string `json:"examples,omitempty"`
}

// maxExamples is how many violations of a guarantee are printed.
const maxExamples = 5

func newRow(name, promise, fault string, commands, faults int, v check.Violations) row {
	return row{
		Name:       name,
		Promise:    promise,
		Fault:      fault,
		Commands:   commands,
		Faults:     faults,
		Violations: len(v),
		Unit:       "violations",
		OK:         len(v) == 0,
		Examples:   v[:min(len(v), maxExamples)],
	}
}

func (o *options) print(rows []row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tPROMISE\tCOMMANDS\tFAULTS\tVIOLATIONS\tSEED\tATTACKED BY")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", r.Name, r.Promise, r.Commands, r.Faults, r.Violations, o.Seed, r.Fault)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, example := range r.Examples {
			fmt.Printf("%s violated: %s\n", r.Name, example)
		}
	}
	return nil
}

// printFaults prints how many faults of each kind were injected, and at how many of the steps a
// service was killed.
func printFaults(e check.Evidence) {
	hit := map[string]int{}
	planned := map[string]int{}
	for _, p := range e.Points {
		planned[p.Service]++
		if p.Hit {
			hit[p.Service]++
		}
	}
	for _, service := range slices.Sorted(maps.Keys(planned)) {
		fmt.Printf("steps of %s: %d, killed at %d\n", service, planned[service], hit[service])
	}
	var counts []string
	for _, kind := range slices.Sorted(maps.Keys(e.Faults)) {
		counts = append(counts, fmt.Sprintf("%s: %d", kind, e.Faults[kind]))
	}
	fmt.Printf("faults: %s\nkills: %d\n", strings.Join(counts, ", "), e.Kills)
}

// write writes rows to the file of --json, or to the default one.
func (o *options) write(defaultName string, rows, missing any) error {
	name := cmp.Or(o.JSON, defaultName)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(map[string]any{
		"machine": map[string]any{"cpus": runtime.NumCPU(), "os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version()},
		"seed":    o.Seed, "rows": rows, "missingAttacks": missing,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(raw, '\n'), 0o600)
}
