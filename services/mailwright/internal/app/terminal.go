package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal reports whether a person reads the output as it appears.
func (a *App) Terminal() bool {
	f, ok := a.Out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Person is standard input where somebody sits at it, else nil.
func Person() io.Reader {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return os.Stdin
	}
	return nil
}

// Confirm asks a question and reports whether the answer is yes. Nobody there is no.
func (a *App) Confirm(question string) (bool, error) {
	if a.Person == nil {
		return false, nil
	}
	if _, err := fmt.Fprintf(a.Err, "%s [y/N] ", question); err != nil {
		return false, err
	}
	answer, err := bufio.NewReader(a.Person).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// Colour reports whether output may have colour: on a terminal, unless NO_COLOR (no-color.org) is set.
func (a *App) Colour() bool { return a.Terminal() && os.Getenv("NO_COLOR") == "" }
