package app

import (
	"os"

	"golang.org/x/term"
)

// Terminal reports whether a person reads the output as it appears.
func (a *App) Terminal() bool {
	f, ok := a.Out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colour reports whether output may have colour: on a terminal, unless NO_COLOR (no-color.org) is set.
func (a *App) Colour() bool { return a.Terminal() && os.Getenv("NO_COLOR") == "" }
