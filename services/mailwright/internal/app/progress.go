package app

import (
	"os"
	"time"

	"golang.org/x/term"

	"github.com/mailwright/mailwright/services/internal/render"
)

// Progress prints on standard error how far a long task is: on a terminal one line for each stage,
// which is kept up to date, else a line every few seconds. It serves one goroutine at a time.
type Progress struct {
	lines     *Lines
	every     time.Duration
	stage     string
	began     time.Time // of the stage
	lastWrite time.Time // that something was written
	text      string    // that is not written yet
}

const (
	drawEvery = 100 * time.Millisecond
	lineEvery = 2 * time.Second
)

// NewProgress starts the progress of a task.
func (a *App) NewProgress() *Progress {
	p := &Progress{lines: NewLines(a.Err), every: lineEvery}
	if f, ok := a.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.every = drawEvery
	}
	return p
}

// Set says that done of all units of a stage are done. Both are 0 for a stage that cannot be
// measured. A text that comes too soon after the last is written only when the next stage begins.
func (p *Progress) Set(stage string, done, all uint64, unit string) {
	now := time.Now()
	if stage != p.stage {
		p.write()
		p.stage, p.began, p.lastWrite = stage, now, time.Time{}
	}
	p.text = stage
	if all > 0 {
		p.text += "  " + render.Progress{Done: int(done), All: int(all), Unit: unit, Elapsed: now.Sub(p.began)}.String()
	}
	if now.Sub(p.lastWrite) >= p.every {
		p.lastWrite = now
		p.write()
	}
}

// write writes the text that is not written yet.
func (p *Progress) write() {
	if p.text != "" {
		_ = p.lines.Print(p.stage, p.text) // an error here does not stop the task
	}
	p.text = ""
}
