package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/mailwright/mailwright/services/internal/process"
)

// example is a call of mailwright on a line of its own, at the end of a pipe too.
var example = regexp.MustCompile(`(?m)^(?:  .*\| |  |\S+ \| |)(?:bin/)?mailwright (.*)$`)

// behind is what ends a call within its line.
var behind = regexp.MustCompile(` (\||#|&&|>) .*$`)

// TestExamplesParse parses every call that a help text or a page shows, as the program would. Files
// that a call names are those of a checkout's top folder.
func TestExamplesParse(t *testing.T) { //nolint:paralleltest // it changes the working directory
	t.Chdir("../..")
	for name, text := range texts(t) {
		for _, call := range example.FindAllStringSubmatch(text, -1) {
			words := shellWords(t, behind.ReplaceAllString(call[1], ""))
			if _, err := parser(t).Parse(words); err != nil {
				t.Errorf("%s: mailwright %s: %v", name, call[1], err)
			}
			if dir := stateOf(words); dir != "" && !strings.ContainsAny(dir, "/.") && dir != strings.ToUpper(dir) {
				t.Errorf("%s: mailwright %s: --state takes a folder, not %s", name, call[1], dir)
			}
		}
	}
}

// stateOf is the value of --state, which takes any text, so that a flag that was meant otherwise
// parses too.
func stateOf(words []string) string {
	for i, w := range words[:len(words)-1] {
		if w == "--state" {
			return words[i+1]
		}
	}
	return ""
}

func parser(t *testing.T) *kong.Kong {
	t.Helper()
	k, err := kong.New(&commands{}, append(process.Options("mailwright", ""), kong.Vars{"version": version()}, kong.Exit(func(int) {}))...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// texts are the help texts of all commands, and the code of all pages.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := kong.Visit(parser(t).Model, func(node kong.Visitable, next kong.Next) error {
		if n, ok := node.(*kong.Node); ok {
			all["mailwright "+n.Path()+" --help"] = n.Detail
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "README.md") {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(page)] = code(string(raw))
	}
	return all
}

var fence = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```")

func code(page string) string {
	var b strings.Builder
	for _, block := range fence.FindAllStringSubmatch(page, -1) {
		b.WriteString(block[1])
	}
	return b.String()
}

// shellWords lets the shell take a call apart.
func shellWords(t *testing.T, call string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `mailwright() { printf '%s\0' "$@"; }; mailwright `+call).Output()
	if err != nil {
		t.Fatalf("mailwright %s: %v", call, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

var flagName = regexp.MustCompile(`(?:^|[\s'"(])--([a-z][a-z-]*)`)

// TestHelpNamesFlagsThatExist: a flag that a help text names is one of some command.
func TestHelpNamesFlagsThatExist(t *testing.T) {
	t.Parallel()
	known, named := map[string]bool{}, map[string]string{}
	err := kong.Visit(parser(t).Model, func(v kong.Visitable, next kong.Next) error {
		switch v := v.(type) {
		case *kong.Flag:
			known[v.Name] = true
			known["no-"+v.Name] = v.Tag.Negatable != ""
			named["--"+v.Name] = v.Help
		case *kong.Node:
			named["mailwright "+v.Path()] = v.Help + " " + v.Detail
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range named {
		for _, m := range flagName.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("the help of %s names --%s, which is no flag", where, m[1])
			}
		}
	}
}
