// Package scripts has the tests of the scripts beside it.
package scripts

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the path that the modules have in common.
const root = "github.com/mailwright/mailwright"

// command is a program in a folder, with additions to the environment of the test.
type command struct {
	dir string
	env []string
}

// downloading matches what the go command says of each module that it gets.
var downloading = regexp.MustCompile(`(?m)^go: downloading .*\n`)

// run gives what the program wrote to its standard output. The test ends where it fails.
func (c command) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	stdout, stderr, code := c.try(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), code, stdout, downloading.ReplaceAllString(stderr, ""))
	}
	return stdout
}

// try gives the program's exit code too, and what it wrote to standard error.
func (c command) try(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout = &out
	cmd.Stderr = &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// write writes a file below dir, in folders that it makes.
func write(t *testing.T, dir, name, content string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}
