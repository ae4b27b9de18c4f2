package app

import (
	"os"
	"time"

	"golang.org/x/term"

	"github.com/mailwright/mailwright/services/mailwright/internal/render"
)

// Bar tells on standard error how far long work is: on a terminal a line for each of its stages
// that is kept up to date, else a line every few seconds. It serves one goroutine at a time.
type Bar struct {
	lines *Lines
	every time.Duration
	stage string
	began time.Time // of the stage
	last  time.Time // that something was written
	text  string    // that has not been told yet
}

const (
	drawEvery = 100 * time.Millisecond
	lineEvery = 2 * time.Second
)

// NewBar starts a bar.
func (a *App) NewBar() *Bar {
	b := &Bar{lines: NewLines(a.Err), every: lineEvery}
	if f, ok := a.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.every = drawEvery
	}
	return b
}

// Set tells that done of all units of a stage are done; both are 0 for a stage that nobody can
// measure. What comes too soon after the last is told only if the next stage begins.
func (b *Bar) Set(stage string, done, all uint64, unit string) {
	now := time.Now()
	if stage != b.stage {
		b.tell()
		b.stage, b.began, b.last = stage, now, time.Time{}
	}
	b.text = stage
	if all > 0 {
		b.text += "  " + render.Progress{Done: int(done), All: int(all), Unit: unit, Passed: now.Sub(b.began)}.String()
	}
	if now.Sub(b.last) >= b.every {
		b.last = now
		b.tell()
	}
}

// tell writes what has not been told yet.
func (b *Bar) tell() {
	if b.text != "" {
		_ = b.lines.Print(b.stage, b.text) // what is told counts less than what is done
	}
	b.text = ""
}
