package dead

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Selection selects the dead letters of a command that changes DEAD, and has its confirmation.
type Selection struct {
	Sequences []uint64 `arg:"" optional:"" name:"letter" help:"Dead letters by number. Without any: those that the filter means."`
	Filter
	All    bool `env:"-" help:"All dead letters."`
	DryRun bool `short:"n" env:"-" help:"Print what would be done, with a count by reason, and do nothing."`
	Yes    bool `short:"y" env:"-" help:"Do not ask. Needed without a terminal, unless dead letters are named by number."`
	app.ReasonFlag
}

// isByNumber reports whether the dead letters are named by number.
func (s *Selection) isByNumber() bool { return len(s.Sequences) > 0 }

// check checks that the flags agree, and returns the test for a dead letter.
func (s *Selection) check(a *app.App, now time.Time) (matches func(deadletters.Letter) bool, err error) {
	switch {
	case s.isByNumber() && (s.isGiven() || s.All):
		return nil, app.Usage("dead letters are named either by number or by a filter")
	case s.All && s.isGiven():
		return nil, app.Usage("--all leaves nothing to the filter")
	case !s.isByNumber() && !s.isGiven() && !s.All:
		return nil, app.Usage("which dead letters? Name them by number, by a filter, or say --all")
	case !s.isByNumber() && !s.Yes && !s.DryRun && a.Prompt == nil:
		return nil, app.Usage("nobody is at the terminal to be asked: add --yes, or name the letters by number")
	}
	return s.matcher(now)
}

// letters reads the selected dead letters. It drops their excerpts, since there may be many.
func (s *Selection) letters(ctx context.Context, d *deadletters.Stream, matches func(deadletters.Letter) bool) ([]deadletters.Letter, error) {
	var list []deadletters.Letter
	keep := func(l deadletters.Letter) error {
		l.Content.Excerpt = nil
		list = append(list, l)
		return nil
	}
	if !s.isByNumber() {
		return list, s.forEach(ctx, d, matches, keep)
	}
	for _, sequence := range slices.Compact(slices.Sorted(slices.Values(s.Sequences))) {
		l, found, err := d.Letter(ctx, sequence)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, app.Usage("there is no dead letter %d; nothing was done", sequence)
		}
		_ = keep(l)
	}
	return list, nil
}

// confirm asks for confirmation if there is a terminal. The error says that the answer was no.
func (s *Selection) confirm(a *app.App, letters []deadletters.Letter, question string) error {
	if s.Yes || a.Prompt == nil {
		return nil
	}
	if err := printHistogram(a.Err, deadletters.Count(letters)); err != nil {
		return err
	}
	yes, err := a.Confirm(question)
	if err == nil && !yes {
		err = errors.New("nothing was done")
	}
	return err
}

// checkReason says what is wrong with the reason of the person. option is what makes one necessary.
// The reason of a dead letter is refused: --reason selected dead letters in earlier versions, and
// the call would now be about more of them.
func (s *Selection) checkReason(option string) error {
	isDeadReason := func(text string) bool { return slices.Contains(deadReasons, text) }
	if slices.ContainsFunc(strings.Split(s.Reason, ","), isDeadReason) {
		return app.Usage("--reason says why you do it; --dead-reason selects dead letters")
	}
	return s.CheckReason(option)
}

// act is what AUDIT is told of an action on dead letters.
func (s *Selection) act(action string, letters []deadletters.Letter, options ...string) audit.Act {
	act := audit.Act{Action: action, Reason: s.Reason, Count: len(letters), Options: options}
	if s.All {
		act.Options = append(act.Options, "all")
	}
	for _, l := range letters {
		act.DeadLetters = append(act.DeadLetters, l.Sequence)
		if t := l.Content.Tenant; t != "" {
			act.Tenants = append(act.Tenants, t)
		}
		act.Operations = append(act.Operations, l.Content.OperationID)
	}
	return act
}
