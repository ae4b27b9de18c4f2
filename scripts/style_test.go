package scripts

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxComment is how many columns a line may have that is a comment. Code may be wider: see lll in
// .golangci.yml, which cannot tell the two apart.
const maxComment = 100

// freeWidth matches comments that nobody can wrap: directives, addresses, tables and code.
var freeWidth = regexp.MustCompile(`^//(go:|nolint|\t|    | ?\||.*https?://)`)

func TestCommentsFit(t *testing.T) {
	t.Parallel()
	for _, name := range tracked(t, "*.go") {
		eachComment(t, name, func(at token.Position, line, text string) {
			whole := strings.HasPrefix(strings.TrimSpace(line), "//")
			width := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
			if whole && width > maxComment && !freeWidth.MatchString(text) {
				t.Errorf("%s:%d: a comment of %d columns: at most %d, so that two files fit side by side", name, at.Line, width, maxComment)
			}
		})
	}
}

// eachComment calls found for each line comment of a file, with the line that it ends.
func eachComment(t *testing.T, name string, found func(at token.Position, line, text string)) {
	t.Helper()
	source := read(t, name)
	lines := strings.Split(string(source), "\n")
	files := token.NewFileSet()
	file := files.AddFile(name, -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return
		}
		if at := files.Position(pos); tok == token.COMMENT && strings.HasPrefix(text, "//") {
			found(at, lines[at.Line-1], text)
		}
	}
}

// privateWords meant several things in this repository, or nothing to its readers. The words of
// docs/architecture.md stand in their place.
var privateWords = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	"settle[sd]?", "settling", "unsettled", "ghosts?", "alarms?", "rouse[sd]?", "oversle\\w+", "bury", "buried", "eavesdroppers?",
	"lent", "lures?", "dice", "deck", "storms?", "strangers?", "patience", "signs? of life", "foreign hands?", "another's hand",
	"unfit", "mend(s|ed|ing)?", "can not",
}, "|") + `)\b`)

// privateNames are the parts of names that a word alone does not find: superlatives for limits,
// where Go says max and min.
var privateNames = regexp.MustCompile(`\b(most|least|longest|shortest)[A-Z]\w*|\b\w*Patience\b|\blifeSign\b`)

func TestWords(t *testing.T) {
	t.Parallel()
	const self = "scripts/style_test.go"
	for _, name := range tracked(t, "*.go", "*.md", "*.sql", "*.json", "*.yaml", "*.yml", "Makefile", "scripts/*", ".ci/*", "deploy/*") {
		if name == self || name == "CHANGELOG.md" { // which says what replaced them
			continue
		}
		text := string(read(t, name))
		if !utf8.ValidString(text) {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			word := privateWords.FindString(line)
			if word == "" && filepath.Ext(name) == ".go" {
				word = privateNames.FindString(line)
			}
			if word != "" {
				t.Errorf("%s:%d: %q: see 'Words' in docs/architecture.md", name, i+1, word)
			}
		}
	}
}

// TestNoStructEmbedsAPointer: a part of a struct, such as its settings or its key, may be embedded,
// and so may an interface. What a struct only uses has a name, so that a reader sees whose method
// is called. Embedded, its methods can be hidden by one of the struct's own.
func TestNoStructEmbedsAPointer(t *testing.T) {
	t.Parallel()
	for _, name := range tracked(t, "*.go") {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, read(t, name), 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok || strings.HasSuffix(name, "_test.go") { // a test's own environment may be a *testing.T
				return true
			}
			for _, field := range s.Fields.List {
				if _, pointer := field.Type.(*ast.StarExpr); pointer && len(field.Names) == 0 {
					t.Errorf("%s: a pointer is embedded: give the field a name", files.Position(field.Pos()))
				}
			}
			return true
		})
	}
}

// tracked lists the files that match patterns of git.
func tracked(t *testing.T, patterns ...string) []string {
	t.Helper()
	args := append([]string{"ls-files", "-co", "--exclude-standard", "--"}, patterns...)
	return strings.Fields(command{dir: ".."}.run(t, "git", args...))
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", name))
	if os.IsNotExist(err) { // deleted, and not committed yet
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}
