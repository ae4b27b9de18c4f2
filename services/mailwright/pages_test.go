package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxColumns is the longest line of a page's prose. Tables, code, headings and what is written by
// tests may be longer.
const maxColumns = 100

// pages are README.md, CONTRIBUTING.md and all pages of docs/, by path from this folder.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[path] = string(raw)
		}
	}
	return all
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan  = regexp.MustCompile("`[^`\n]+`")
	// generated is what a test writes into a page.
	generated = regexp.MustCompile(`(?s)<!-- (?:envelope|columns|permissions):.*?<!-- end of `)
	pageLink  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pageTitle = regexp.MustCompile(`(?m)^#{1,6} (.*)$`)
	// notOfAnAnchor is what GitHub leaves out of a heading's anchor.
	notOfAnAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestProseIsNarrow keeps the pages readable side by side with code.
func TestProseIsNarrow(t *testing.T) {
	t.Parallel()
	for path, text := range pages(t) {
		text = codeBlock.ReplaceAllString(generated.ReplaceAllString(text, ""), "")
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if utf8.RuneCountInString(line) > maxColumns && !strings.HasPrefix(line, "|") {
				t.Errorf("%s has a line of more than %d columns: %s", path, maxColumns, line)
			}
		}
	}
}

// TestLinksLeadSomewhere follows the links of the pages to files and headings of this repository.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for path, text := range all {
		prose := codeSpan.ReplaceAllString(codeBlock.ReplaceAllString(text, ""), "")
		for _, m := range pageLink.FindAllStringSubmatch(prose, -1) {
			link, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(link, "://") {
				continue
			}
			target := path
			if link != "" {
				target = filepath.Join(filepath.Dir(path), link)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			} else if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s links to %s, which has no such heading", path, m[1])
			}
		}
	}
}

// anchors are those that GitHub gives a page's headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range pageTitle.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		name := notOfAnAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}
