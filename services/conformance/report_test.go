package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
)

// status is the result of one side of a fact; "" if that side has nothing to check.
type status string

const (
	passed status = "held"
	broken status = "BROKEN"
)

// row is a line of the table.
type row struct {
	Vendor, Fact, Source string
	Client, Sandbox      status
}

// sides counts the sides that were checked, and those that passed.
func (r row) sides() (checked, ok int) {
	for _, v := range []status{r.Client, r.Sandbox} {
		if v != "" {
			checked++
		}
		if v == passed {
			ok++
		}
	}
	return checked, ok
}

type rows struct {
	mu   sync.Mutex
	list []row
}

var report rows

func (r *rows) add(line row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, line)
}

// TestMain runs the suites, and leaves the table and its JSON in the folder
// MAILWRIGHT_CONFORMANCE_OUT.
func TestMain(m *testing.M) {
	code := m.Run()
	if dir := os.Getenv("MAILWRIGHT_CONFORMANCE_OUT"); dir != "" {
		slices.SortStableFunc(report.list, func(a, b row) int { return cmp.Compare(a.Vendor, b.Vendor) })
		if err := report.save(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	sandboxtest.Clean()
	os.Exit(code)
}

func (r *rows) save(dir string) error {
	table, err := os.Create(filepath.Join(dir, "conformance.txt"))
	if err != nil {
		return err
	}
	r.print(table)
	if err := table.Close(); err != nil {
		return err
	}
	type line struct {
		Name    string `json:"name"`
		Value   int    `json:"value"`
		Unit    string `json:"unit"`
		Target  int    `json:"target"`
		OK      bool   `json:"ok"`
		Source  string `json:"source"`
		Client  status `json:"client,omitempty"`
		Sandbox status `json:"sandbox,omitempty"`
	}
	lines := make([]line, len(r.list))
	for i, row := range r.list {
		shown, kept := row.sides()
		lines[i] = line{row.Vendor + ": " + row.Fact, kept, "sides held", shown, kept == shown, row.Source, row.Client, row.Sandbox}
	}
	raw, err := json.MarshalIndent(map[string]any{
		"machine": map[string]any{"os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(), "go": runtime.Version()},
		"rows":    lines,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "conformance.json"), append(raw, '\n'), 0o644)
}

func (r *rows) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VENDOR\tDOCUMENTED FACT\tCLIENT\tSANDBOX\tSOURCE")
	kept := 0
	for _, row := range r.list {
		shown, k := row.sides()
		if shown == k {
			kept++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", row.Vendor, row.Fact, cmp.Or(row.Client, "-"), cmp.Or(row.Sandbox, "-"), row.Source)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\nconformance: %d of %d facts held\n", kept, len(r.list))
}
