// Package testprograms gives tests the programs of Mailwright: those that make has built, in the
// folder that MAILWRIGHT_BIN names, or else built for the test.
package testprograms

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// module is the module that holds the programs.
const module = "github.com/mailwright/mailwright/services/"

// Build compiles programs into a folder that exists. A name is a program's folder below services,
// such as mailbox-svc. The error quotes what the compiler says.
func Build(dir string, names ...string) error { return build(dir, nil, names) }

// BuildWithFailpoints is Build for programs that can be killed or stopped at a step. The flags are
// those of 'make failpoints', so that nothing is compiled twice.
func BuildWithFailpoints(dir string, names ...string) error {
	return build(dir, []string{"-trimpath", "-ldflags=-s", "-tags=failpoints"}, names)
}

func build(dir string, flags, names []string) error {
	args := append([]string{"build", "-o", dir + "/"}, flags...)
	for _, name := range names {
		args = append(args, module+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the programs are released
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the programs do not build: %w\n%s", err, out)
	}
	return nil
}

// Dir returns a folder that holds the named programs at least. remove removes it if it was made
// here.
func Dir(names ...string) (dir string, remove func(), err error) {
	if dir := os.Getenv("MAILWRIGHT_BIN"); dir != "" {
		return dir, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "mailwright-bin-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := Build(dir, names...); err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}

// Run calls run with a folder that holds all programs of a system, for a TestMain, and returns the
// exit code. The folder is gone afterwards if it was made here.
func Run(run func(dir string) int) int {
	dir, remove, err := Dir(append([]string{"mailwright", "sandbox", "console"}, stack.Services...)...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	return run(dir)
}
