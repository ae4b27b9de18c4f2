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

// Terminal reports whether the output goes to a terminal.
func (a *App) Terminal() bool {
	f, ok := a.Out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Lines writes lines. On a terminal a line takes the place of the one before where both have the
// same topic, so that progress stays on one line.
type Lines struct {
	to    io.Writer
	topic string
}

// NewLines returns Lines that go to a writer.
func NewLines(to io.Writer) *Lines { return &Lines{to: to} }

// replaceLine moves a terminal's cursor to the line before, and empties it.
const replaceLine = "\x1b[1A\x1b[2K"

// Print writes a line. Topic "" equals no other topic.
func (l *Lines) Print(topic, text string) error {
	if width, ok := l.width(); ok && topic != "" {
		if runes := []rune(text); width > 0 && len(runes) > width { // 0: a terminal that nobody told its size
			text = string(runes[:width]) // a line that is broken could not be taken back
		}
		if topic == l.topic {
			text = replaceLine + text
		}
	}
	l.topic = topic
	_, err := fmt.Fprintln(l.to, text)
	return err
}

// width is that of the terminal; ok is false if the lines go elsewhere.
func (l *Lines) width() (columns int, ok bool) {
	f, ok := l.to.(*os.File)
	if !ok {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	return columns, err == nil
}

// Prompt is standard input if it is a terminal, else nil.
func Prompt() io.Reader {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return os.Stdin
	}
	return nil
}

// Confirm asks a question and reports whether the answer is yes. Without a terminal it is no.
func (a *App) Confirm(question string) (bool, error) {
	if a.Prompt == nil {
		return false, nil
	}
	if _, err := fmt.Fprintf(a.Err, "%s [y/N] ", question); err != nil {
		return false, err
	}
	answer, err := bufio.NewReader(a.Prompt).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// Colour reports whether output may have colour: on a terminal, unless NO_COLOR (no-color.org) is
// set.
func (a *App) Colour() bool { return a.Terminal() && os.Getenv("NO_COLOR") == "" }
