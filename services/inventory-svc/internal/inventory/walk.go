package inventory

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/vendors/enpower"
)

// progressEvery is how often a walk tells how far it has come. Each time adds an event to the operation's history.
const progressEvery = 5 * time.Second

// walk is one attempt at a sync.
type walk struct {
	taker
	run     *operation.Run
	store   store
	command event.InventorySyncData
	scope   scope
	memory  memory

	done      event.SyncCompletedData
	published int
	told      time.Time // of the last progress
}

// take walks from the first page to the last, and then says what was not met.
func (w *walk) take(ctx context.Context) error {
	w.told = time.Now()
	var err error
	w.memory, err = remember(ctx, w.js, w.run.Tenant, w.run.ID, w.scope, func() error { return w.progress(ctx) })
	if err != nil {
		return err
	}
	for _, k := range w.memory {
		if k.expected() {
			w.done.Known++
		}
	}
	if err := w.pages(ctx); err != nil {
		return err
	}
	return w.absent(ctx)
}

// pages reads one page while the one before is taken in.
func (w *walk) pages(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages, ended := make(chan enpower.Page), make(chan error, 1)
	go func() {
		defer close(pages)
		q := enpower.Query{Tenant: w.command.Tenant, Type: enpower.MailboxType(w.command.MailboxType), PageSize: int(w.command.PageSize)}
		ended <- w.client.Mailboxes(ctx, q, func(p enpower.Page) error {
			select {
			case pages <- p:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case page, more := <-pages:
			if !more {
				return <-ended
			}
			if err := w.page(ctx, page); err != nil {
				return err
			}
		case <-tick.C: // also while a page is long in coming
		}
		if err := w.progress(ctx); err != nil {
			return err
		}
	}
}

// page counts a page's mailboxes, and publishes those of which something is to be said.
func (w *walk) page(ctx context.Context, page enpower.Page) error {
	now := time.Now().UTC()
	w.done.Pages++
	var news []observation
	for _, m := range page.Mailboxes {
		o, err := w.meet(m, now)
		if err != nil {
			return err
		}
		if o != nil {
			news = append(news, *o)
		}
	}
	if err := w.store.precede(ctx, news); err != nil {
		return err
	}
	outcomes, err := w.store.put(ctx, news)
	if err != nil {
		return err
	}
	for i := range news {
		if outcomes[i] {
			w.count(news[i].change)
			w.published++
		} else {
			w.done.Unchanged++ // another sync was here meanwhile, and has said it
		}
	}
	return nil
}

// meet takes note of a mailbox that the vendor lists, and gives the observation to publish; nil for none.
func (w *walk) meet(m enpower.Mailbox, at time.Time) (*observation, error) {
	if m.ID == "" {
		w.done.Unidentified++
		return nil, nil
	}
	key := keyOf(bus.Token(m.Key()))
	before, was := w.memory[key]
	if before.is(seen) {
		w.done.Duplicates++
		return nil, nil
	}
	facts, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	content := contentOf(facts)
	w.memory[key] = known{content: before.content, place: before.place | seen}
	w.done.Seen++
	if was && before.content == content && !before.is(gone) {
		w.count(before.told())
		return nil, nil
	}
	return &observation{list: w.scope.list(), key: m.Key(), id: m.ID, name: m.DisplayName, facts: facts, content: content, at: at, change: changeOf(before, was), replaces: before.sequence()}, nil
}

// changeOf says what became of a mailbox since before this operation.
func changeOf(before known, was bool) string {
	switch told := before.told(); {
	case !was:
		return event.MailboxNew
	case before.is(gone):
		return event.MailboxReturned
	case told != "":
		return told // by an earlier attempt of this operation; it has changed once more since
	default:
		return event.MailboxChanged
	}
}

func (w *walk) count(change string) {
	switch change {
	case event.MailboxNew:
		w.done.New++
	case event.MailboxChanged:
		w.done.Changed++
	case event.MailboxReturned:
		w.done.Returned++
	default:
		w.done.Unchanged++
	}
}

// absentAtOnce is how many absent mailboxes are in hand at a time.
const absentAtOnce = 500

// absent reports the mailboxes that the walk should have met and did not, if they are not too many.
func (w *walk) absent(ctx context.Context) error {
	var sequences []uint64
	reported := 0
	for _, k := range w.memory {
		switch {
		case k.is(seen) || !k.expected():
		case k.is(gone):
			reported++ // by an earlier attempt
		default:
			sequences = append(sequences, k.sequence())
		}
	}
	w.done.Absent, w.done.Missing = reported+len(sequences), reported
	if !w.command.AcceptMissing && w.guard.suspects(w.done.Known, w.done.Absent, w.done.Seen) {
		w.done.Suspect = true
		return nil
	}
	for len(sequences) > 0 {
		some := sequences[:min(len(sequences), absentAtOnce)]
		sequences = sequences[len(some):]
		missing, err := w.store.last(ctx, some)
		if err != nil {
			return err
		}
		outcomes, err := w.store.put(ctx, missing)
		if err != nil {
			return err
		}
		published := 0
		for _, stored := range outcomes {
			if stored {
				published++
			}
		}
		w.done.Missing += published
		w.published += published
		w.done.Absent -= len(some) - published // another sync has met them meanwhile
		if err := w.progress(ctx); err != nil {
			return err
		}
	}
	return nil
}

// progress tells how far the walk has come, if it is time.
func (w *walk) progress(ctx context.Context) error {
	if time.Since(w.told) < progressEvery {
		return nil
	}
	w.told = time.Now()
	return w.run.Emit(ctx, event.SyncProgress, event.SyncProgressData{
		StartedData: w.run.Started(), Seen: w.done.Seen, Pages: w.done.Pages, Known: w.done.Known, Published: w.published, StartedAt: w.done.StartedAt,
	})
}
