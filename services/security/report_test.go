package security

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// The checks of `make security`, in the order of its table.
const (
	checkPermissions     = "permissions"
	checkSecrets         = "secrets"
	checkBuilds          = "builds"
	checkImages          = "images"
	checkSBOMs           = "SBOMs"
	checkLicences        = "licences"
	checkBaseImages      = "base images"
	checkVulnerabilities = "vulnerabilities"
	checkThreats         = "threats"
)

var checks = []string{
	checkPermissions, checkSecrets, checkBuilds, checkImages, checkSBOMs, checkLicences, checkBaseImages, checkVulnerabilities, checkThreats,
}

// row is what became of a check.
type row struct {
	Name       string   `json:"name"`
	Faults     int      `json:"value"`
	Unit       string   `json:"unit"`
	Target     int      `json:"target"`
	OK         bool     `json:"ok"` // it was checked, and has no fault
	Result     string   `json:"result"`
	NotChecked string   `json:"not_checked,omitempty"` // why; part of it may have been checked
	ProvedBy   []string `json:"proved_by"`             // what was broken on purpose, and found
	Examples   []string `json:"examples,omitempty"`
}

// report gathers the rows. Every check is proved too: something is broken on purpose, and the check
// must find it.
type rows struct {
	mu     sync.Mutex
	byName map[string]*row
}

var report = rows{byName: map[string]*row{}}

func (r *rows) change(name string, change func(*row)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName[name] == nil {
		r.byName[name] = &row{Name: name, Unit: "faults"}
	}
	change(r.byName[name])
}

// checked records what a check found, and fails the test for each fault.
func (r *rows) checked(t *testing.T, name, result string, faults []string) {
	t.Helper()
	t.Logf("security: %s: %s, %d faults", name, result, len(faults))
	for _, fault := range faults {
		t.Error(fault)
	}
	r.change(name, func(r *row) {
		r.Result = result
		r.Faults += len(faults)
		r.Examples = append(r.Examples, faults...)
	})
}

// notChecked records why a check, or a part of it, could not be made. That is no pass.
func (r *rows) notChecked(t *testing.T, name, why string) {
	t.Helper()
	t.Logf("security: %s: not checked: %s", name, why)
	r.change(name, func(r *row) { r.NotChecked = why })
}

// proved records that something was broken, and fails the test if the check did not find it.
func (r *rows) proved(t *testing.T, name, broken string, found []string) {
	t.Helper()
	if len(found) == 0 {
		t.Errorf("%s: the check does not find this: %s", name, broken)
		r.change(name, func(r *row) {
			r.Faults++
			r.Examples = append(r.Examples, "the check does not find this: "+broken)
		})
		return
	}
	r.change(name, func(r *row) { r.ProvedBy = append(r.ProvedBy, broken) })
}

// finish returns the rows in their order. A check that did not come to its end has a fault, and so
// has one that nothing proves.
func (r *rows) finish() []row {
	var list []row
	for _, name := range checks {
		r.change(name, func(r *row) {
			if r.Result == "" && r.NotChecked == "" {
				r.Faults++
				r.Examples = append(r.Examples, "the check did not come to its end")
			}
			if len(r.ProvedBy) == 0 && r.NotChecked == "" {
				r.Faults++
				r.Examples = append(r.Examples, "nothing was broken to prove the check")
			}
			r.OK = r.Faults == 0 && r.NotChecked == ""
			list = append(list, *r)
		})
	}
	return list
}

// save writes security.txt, the table, and security.json into a folder. Its error says that there
// are faults.
func save(dir string, list []row) error {
	raw, err := json.MarshalIndent(map[string]any{
		"machine": map[string]any{"os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(), "go": runtime.Version()},
		"rows":    list,
	}, "", "  ")
	if err != nil {
		return err
	}
	var text strings.Builder
	faults := show(&text, list)
	err = errors.Join(os.WriteFile(filepath.Join(dir, "security.json"), append(raw, '\n'), 0o644), os.WriteFile(filepath.Join(dir, "security.txt"), []byte(text.String()), 0o644))
	if err == nil && faults > 0 {
		err = fmt.Errorf("security: %d faults", faults)
	}
	return err
}

// maxExamples is how many faults of a check are printed.
const maxExamples = 5

func show(w io.Writer, list []row) (faults int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CHECK\tFAULTS\tPROVED\tRESULT")
	unchecked, proofs := 0, 0
	for _, r := range list {
		faults += r.Faults
		proofs += len(r.ProvedBy)
		result := r.Result
		if r.NotChecked != "" {
			unchecked++
			result = strings.TrimPrefix(result+"; not checked: "+r.NotChecked, "; ")
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", r.Name, r.Faults, len(r.ProvedBy), result)
	}
	_ = t.Flush()
	for _, r := range list {
		for _, example := range r.Examples[:min(len(r.Examples), maxExamples)] {
			fmt.Fprintf(w, "%s: %s\n", r.Name, example)
		}
	}
	fmt.Fprintf(w, "\nsecurity: %d checks, %d not or partly checked, %d things broken and found, %d faults\n", len(list), unchecked, proofs, faults)
	return faults
}

// outDir is where `make security` wants its results; "" in other runs, which leave out the checks
// that take minutes.
func outDir() string { return os.Getenv("MAILWRIGHT_SECURITY_OUT") }

// long skips a test that only `make security` runs.
func long(t *testing.T) {
	t.Helper()
	if outDir() == "" {
		t.Skip("only 'make security' runs this: it takes minutes")
	}
}

func TestACheckThatWasNotMadeOrNotProvedIsAFault(t *testing.T) {
	t.Parallel()
	r := rows{byName: map[string]*row{}}
	for _, name := range checks[1:] {
		r.checked(t, name, "all good", nil)
	}
	for _, name := range checks[2:] {
		r.proved(t, name, "a fault", []string{"found"})
	}
	r.notChecked(t, checks[2], "no network")
	var faults, ok []string
	for _, row := range r.finish() {
		if row.Faults > 0 {
			faults = append(faults, row.Examples...)
		}
		if row.OK {
			ok = append(ok, row.Name)
		}
	}
	want := "[the check did not come to its end nothing was broken to prove the check nothing was broken to prove the check]"
	if got := fmt.Sprint(faults); got != want || len(ok) != len(checks)-3 {
		t.Errorf("faults %s, want %s; ok: %v", got, want, ok)
	}
}
