package dead

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Selection are the letters that something is to be done to, and the person's consent.
type Selection struct {
	Sequences []uint64 `arg:"" optional:"" name:"letter" help:"Dead letters by number. Without any: those that the filter means."`
	Filter
	All    bool `env:"-" help:"All dead letters."`
	DryRun bool `short:"n" env:"-" help:"Say what would be done, with a count by reason, and do nothing."`
	Yes    bool `short:"y" env:"-" help:"Do not ask. Where nobody sits at a terminal it is needed, unless letters are named by number."`
}

// named reports whether the letters are named by number.
func (s *Selection) named() bool { return len(s.Sequences) > 0 }

// check holds the call against its own words.
func (s *Selection) check(a *app.App, now time.Time) (fits func(Letter) bool, err error) {
	switch {
	case s.named() && (s.given() || s.All):
		return nil, app.Usage("dead letters are named either by number or by a filter")
	case s.All && s.given():
		return nil, app.Usage("--all leaves nothing to the filter")
	case !s.named() && !s.given() && !s.All:
		return nil, app.Usage("which dead letters? Name them by number, by a filter, or say --all")
	case !s.named() && !s.Yes && !s.DryRun && a.Person == nil:
		return nil, app.Usage("nobody is at the terminal to be asked: add --yes, or name the letters by number")
	}
	return s.Filter.check(now)
}

// letters reads those that are meant. Excerpts are left out: there may be many.
func (s *Selection) letters(ctx context.Context, b *box, fits func(Letter) bool) ([]Letter, error) {
	var list []Letter
	keep := func(l Letter) error {
		l.Letter.Excerpt = nil
		list = append(list, l)
		return nil
	}
	if !s.named() {
		return list, s.each(ctx, b, fits, keep)
	}
	for _, sequence := range slices.Compact(slices.Sorted(slices.Values(s.Sequences))) {
		l, found, err := b.letter(ctx, sequence)
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

// consent asks the person, if there is one to be asked.
func (s *Selection) consent(a *app.App, letters []Letter, question string) error {
	if s.Yes || a.Person == nil {
		return nil
	}
	if err := count(letters).print(a.Err); err != nil {
		return err
	}
	yes, err := a.Confirm(question)
	if err == nil && !yes {
		err = errors.New("nothing was done")
	}
	return err
}

func count(letters []Letter) *histogram {
	h := &histogram{}
	for _, l := range letters {
		h.add(l)
	}
	return h
}
