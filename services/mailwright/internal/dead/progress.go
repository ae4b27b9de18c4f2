package dead

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// progress prints one line a dead letter on standard output, and the number of those done on
// standard error.
type progress struct {
	app     *app.App
	all     int
	done    int
	refused int
	last    time.Time
}

func newProgress(a *app.App, all int) *progress { return &progress{app: a, all: all, last: time.Now()} }

// progressInterval is the time between two lines on standard error.
const progressInterval = 2 * time.Second

func (p *progress) add(d deadletters.Done) error {
	p.done++
	if d.Action == deadletters.Refused {
		p.refused++
	}
	if now := time.Now(); now.Sub(p.last) >= progressInterval {
		p.last = now
		_, _ = fmt.Fprintf(p.app.Err, "%d of %d\n", p.done, p.all)
	}
	if p.app.JSON {
		return p.app.PrintJSON(d)
	}
	_, err := fmt.Fprintf(p.app.Out, "%d  %s  %s\n", d.Letter, d.Action, render.OneLine(text(d)))
	return err
}

func text(d deadletters.Done) string {
	if d.Subject == "" {
		return d.Detail
	}
	text := "to " + d.Subject
	if d.Command > 0 {
		text += fmt.Sprintf(" as command %d", d.Command)
	}
	return text + fmt.Sprintf(", replay %d: %s", d.Replay, d.Detail)
}

// interrupted adds to an error how many dead letters were done before it.
func (p *progress) interrupted(err error) error {
	return fmt.Errorf("%d of %d done, then: %w; what is done is out of DEAD, so the same call goes on with the rest", p.done, p.all, err)
}

// finish prints the sum. Its error says how many dead letters were refused.
func (p *progress) finish(dryRun bool, letters []deadletters.Letter) error {
	if dryRun && p.app.JSON {
		if err := p.app.PrintJSON(deadletters.Count(letters)); err != nil {
			return err
		}
	} else if dryRun {
		_, _ = fmt.Fprintln(p.app.Out)
		if err := printHistogram(p.app.Out, deadletters.Count(letters)); err != nil {
			return err
		}
	}
	if p.refused > 0 {
		err := errors.New(countLetters(p.refused) + " of " + fmt.Sprint(p.all) + " refused")
		if p.refused == p.all {
			return audit.Refused(err)
		}
		return err
	}
	if !dryRun {
		_, err := fmt.Fprintf(p.app.Err, "%s done\n", countLetters(p.all))
		return err
	}
	return nil
}

func countLetters(n int) string {
	return fmt.Sprintf("%d %s", n, cmp.Or(map[bool]string{true: "dead letter"}[n == 1], "dead letters"))
}
