package security

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`(Test[A-Z]\\w+)`")
	testFunc = regexp.MustCompile(`(?m)^func (Test[A-Z]\w+)\(t \*testing\.T\)`)
)

// TestEachThreatHasATestThatExists reads the table of threats in docs/security.md.
func TestEachThreatHasATestThatExists(t *testing.T) {
	t.Parallel()
	existing := tests(t)
	page := read(t, "docs/security.md")
	faults, rows := untested(page, existing)
	report.checked(t, checkThreats, fmt.Sprintf("%d threats in docs/security.md, each with a test that exists", rows), faults)
	for broken, row := range map[string]string{
		"a threat whose test does not exist": "| a | b | c | `TestThatNobodyWrote` |",
		"a threat without a test":            "| a | b | c | |",
	} {
		found, _ := untested(strings.Replace(page, "|---|---|---|---|\n", "|---|---|---|---|\n"+row+"\n", 1), existing)
		report.proved(t, checkThreats, broken, found)
	}
}

// untested reads the rows of the table, and says which name no test that exists.
func untested(page string, existing map[string]bool) (faults []string, rows int) {
	_, section, _ := strings.Cut(page, "\n## Threats\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, table, _ := strings.Cut(section, "|---|---|---|---|\n")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows++
		names := testName.FindAllStringSubmatch(line, -1)
		if len(names) == 0 {
			faults = append(faults, "no test stands behind this threat: "+strings.TrimSpace(line))
		}
		for _, name := range names {
			if !existing[name[1]] {
				faults = append(faults, "there is no test "+name[1])
			}
		}
	}
	if rows == 0 {
		faults = append(faults, "docs/security.md has no table of threats")
	}
	return faults, rows
}

// tests are the names of all tests of the repository.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "build") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path) // #nosec G304 G122 -- a file of the repository
		for _, found := range testFunc.FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
		return err
	})
	if err != nil || len(names) < 100 {
		t.Fatalf("%d tests, %v", len(names), err)
	}
	return names
}
