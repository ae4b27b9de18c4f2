package dead

import (
	"context"
	"errors"
	"slices"
	"time"

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
