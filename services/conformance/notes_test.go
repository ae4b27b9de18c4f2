package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// citation is what a fact's source says of the vendor's notes: "notes 7.2", "notes 5 and 7".
	citation = regexp.MustCompile(`\bnotes ([0-9]+(?:\.[0-9]+)*(?: and [0-9]+(?:\.[0-9]+)*)*)`)
	// sources are the strings of a file's facts, in which a citation may stand.
	sources = regexp.MustCompile(`(?:source: |faults\("[a-z]+", )"((?:[^"\\]|\\.)*)"`)
	// heading is a numbered one of a page of notes.
	heading = regexp.MustCompile(`(?m)^#{2,3} ([0-9]+(?:\.[0-9]+)*)\.? `)
)

// citing names the pages of notes whose headings a file cites. A file that is not listed cites
// those of the vendor that its name begins with.
var citing = map[string][]string{
	"fact_test.go": {"exchangeonline", "enpower"}, // the facts of walks, which both vendors have
}

// TestCitedNotesExist: each heading that the source of a fact cites stands in
// docs/vendors/<vendor>.md.
func TestCitedNotesExist(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	cited := map[string]int{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range sources.FindAllStringSubmatch(string(raw), -1) {
			for _, numbers := range citation.FindAllStringSubmatch(source[1], -1) {
				for _, vendor := range vendorsOf(file) {
					cited[vendor]++
					for number := range strings.SplitSeq(numbers[1], " and ") {
						if !headings(t, vendor)[number] {
							t.Errorf("%s cites notes %s; docs/vendors/%s.md has no such heading", file, number, vendor)
						}
					}
				}
			}
		}
	}
	for _, vendor := range []string{"adaxes", "exchangeonline", "hostedexchange", "enpower"} {
		if cited[vendor] == 0 {
			t.Errorf("no fact cites docs/vendors/%s.md: the citations are not found any more", vendor)
		}
	}
}

func vendorsOf(file string) []string {
	if vendors, listed := citing[file]; listed {
		return vendors
	}
	vendor, _, _ := strings.Cut(file, "_")
	return []string{vendor}
}

// headings are the numbers of the headings of a vendor's notes.
func headings(t *testing.T, vendor string) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile("../../docs/vendors/" + vendor + ".md")
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(string(raw), -1) {
		numbers[m[1]] = true
	}
	return numbers
}
