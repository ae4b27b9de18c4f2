// Package apptest runs a command of mailwright in a test, as the program would: it takes arguments,
// and returns the output, the messages and the exit code.
package apptest

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Call is one call of a command.
type Call struct {
	Name    string // of the command
	Command any    // pointer to its zero value
	Args    []string
	Stdin   string
	// Answer is the answer at the terminal; "": there is no terminal.
	Answer string
	// Out and Err receive what is written while the command runs, for a test that waits for it; nil
	// collects it only.
	Out, Err io.Writer
}

// Result is what a call gave.
type Result struct {
	Out, Err string
	Code     int
}

// Run calls a command.
func Run(ctx context.Context, t *testing.T, c Call) Result {
	t.Helper()
	var out, messages Buffer
	parser, grammar := parser(t, c, &out)
	parsed, err := parser.Parse(append([]string{c.Name}, c.Args...))
	if err != nil {
		return Result{Err: err.Error(), Code: app.ExitUsage}
	}
	a := &app.App{Globals: grammar.Globals, In: strings.NewReader(c.Stdin), Out: &out, Err: &messages, Log: slog.New(slog.DiscardHandler)}
	if c.Answer != "" {
		a.Prompt = strings.NewReader(c.Answer)
	}
	if c.Out != nil {
		a.Out = io.MultiWriter(&out, c.Out)
	}
	if c.Err != nil {
		a.Err = io.MultiWriter(&messages, c.Err)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	if err = parsed.Run(a); err != nil {
		(&app.App{Err: &messages}).PrintError(err)
	}
	return Result{Out: out.String(), Err: messages.String(), Code: app.Code(err)}
}

// Help is what --help of a command prints, or of a command below it.
func Help(t *testing.T, name string, command any, below ...string) string {
	t.Helper()
	var out Buffer
	parser, _ := parser(t, Call{Name: name, Command: command}, &out)
	func() {
		defer func() { _ = recover() }() // kong exits after the help; see parser
		_, _ = parser.Parse(append(append([]string{name}, below...), "--help"))
	}()
	return out.String()
}

type grammar struct{ app.Globals }

func parser(t *testing.T, c Call, out io.Writer) (*kong.Kong, *grammar) {
	t.Helper()
	g := &grammar{}
	k, err := kong.New(g, append(process.Options("mailwright", ""),
		kong.DynamicCommand(c.Name, "", "", c.Command), kong.Writers(out, out), kong.Exit(func(int) { panic("exit") }))...)
	if err != nil {
		t.Fatal(err)
	}
	return k, g
}

// Buffer collects what several goroutines write.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String gives what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var update = flag.Bool("update", false, "write the golden files anew")

// volatile are the parts of an output that differ from run to run, and what stands for them in a
// golden file.
var volatile = []struct {
	pattern     *regexp.Regexp
	placeholder string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`), "<time>"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "<time>"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:<port>"},
}

// Golden compares an output with testdata/<name>; -update writes it.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	for _, v := range volatile {
		got = v.pattern.ReplaceAllString(got, v.placeholder)
	}
	got = strings.ReplaceAll(got, app.Caller(), "<caller>")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}
