package dead

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/render"
)

// Done is what was done to a letter, as --json prints it.
type Done struct {
	Letter uint64 `json:"letter"`
	Action string `json:"action"`
	// Detail says in words what the letter was about, or why it was refused.
	Detail string `json:"detail,omitempty"`
	// Subject that a command was published to, its sequence in COMMANDS, and the number of its
	// replay.
	Subject string `json:"subject,omitempty"`
	Command uint64 `json:"command,omitempty"`
	Replay  int    `json:"replay,omitempty"`
}

const refused = "refused"

// about says what a letter is about.
func (l Letter) about() string {
	return render.OneLine(strings.TrimSpace(strings.Join([]string{l.Letter.Reason, render.Short(l.Letter.Type), l.who()}, " ")))
}

// progress prints what is done: a line a letter on standard output, and how far it came on standard
// error.
type progress struct {
	app     *app.App
	all     int
	so      int
	refused int
	last    time.Time
}

func newProgress(a *app.App, all int) *progress { return &progress{app: a, all: all, last: time.Now()} }

// remindEvery is how often progress is told.
const remindEvery = 2 * time.Second

func (p *progress) done(d Done) error {
	p.so++
	if d.Action == refused {
		p.refused++
	}
	if now := time.Now(); now.Sub(p.last) >= remindEvery {
		p.last = now
		_, _ = fmt.Fprintf(p.app.Err, "%d of %d\n", p.so, p.all)
	}
	if p.app.JSON {
		return p.app.PrintJSON(d)
	}
	_, err := fmt.Fprintf(p.app.Out, "%d  %s  %s\n", d.Letter, d.Action, render.OneLine(d.text()))
	return err
}

func (d Done) text() string {
	if d.Subject == "" {
		return d.Detail
	}
	text := "to " + d.Subject
	if d.Command > 0 {
		text += fmt.Sprintf(" as command %d", d.Command)
	}
	return text + fmt.Sprintf(", replay %d: %s", d.Replay, d.Detail)
}

// brokenOff is the error that it came only so far.
func (p *progress) brokenOff(err error) error {
	return fmt.Errorf("%d of %d done, then: %w; what is done is out of DEAD, so the same call goes on with the rest", p.so, p.all, err)
}

// end prints the sum. It is an error where letters were refused.
func (p *progress) end(dryRun bool, letters []Letter) error {
	if dryRun && p.app.JSON {
		if err := p.app.PrintJSON(count(letters)); err != nil {
			return err
		}
	} else if dryRun {
		_, _ = fmt.Fprintln(p.app.Out)
		if err := count(letters).print(p.app.Out); err != nil {
			return err
		}
	}
	if p.refused > 0 {
		return errors.New(letterCount(p.refused) + " of " + fmt.Sprint(p.all) + " refused")
	}
	if !dryRun {
		_, err := fmt.Fprintf(p.app.Err, "%s done\n", letterCount(p.all))
		return err
	}
	return nil
}

func letterCount(n int) string {
	return fmt.Sprintf("%d %s", n, cmp.Or(map[bool]string{true: "dead letter"}[n == 1], "dead letters"))
}
