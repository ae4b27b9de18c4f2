package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
)

// progressEvery is how often a walk publishes how far it has come. Each adds an event to the
// operation's history.
const progressEvery = 5 * time.Second

// walk is one attempt at a sync.
type walk struct {
	syncer
	attempt *operation.Attempt
	store   store
	command event.InventorySyncData
	scope   scope
	index   index

	result     event.SyncCompletedData
	warnings   warnings
	published  int
	progressAt time.Time
}

// attempt walks from the first page to the last, and then reports what was not met.
func (w *walk) run(ctx context.Context) error {
	w.progressAt = time.Now()
	var err error
	w.index, err = loadIndex(ctx, w.js, w.attempt.Tenant, w.attempt.ID, w.scope, func() error { return w.progress(ctx) })
	if err != nil {
		return err
	}
	for _, k := range w.index {
		if k.expected() {
			w.result.Known++
		}
	}
	if err := w.pages(ctx); err != nil {
		return err
	}
	return w.reportMissing(ctx)
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
	w.result.Pages++
	for _, row := range page.Unreadable {
		w.result.Unidentified++
		w.warnings.add("page %d, row %d is no object: it tells no mailbox", page.Number, row)
	}
	var news []observation
	for _, m := range page.Mailboxes {
		if o := w.observe(m, now); o != nil {
			news = append(news, *o)
		}
	}
	if err := w.store.loadPrevious(ctx, news); err != nil {
		return err
	}
	outcomes, err := w.store.publish(ctx, news)
	if err != nil {
		return err
	}
	for i, o := range news {
		switch {
		case outcomes[i].refused != nil:
			w.refuse(o.name, o.id, outcomes[i].refused)
		case outcomes[i].published:
			w.count(o.change)
			w.published++
		default:
			w.result.Unchanged++ // another sync has published it meanwhile
		}
		w.warnPrevious(o)
	}
	return nil
}

// refuse counts and names a mailbox that cannot be published. It has been seen, so it is not
// reported missing.
func (w *walk) refuse(name, id string, why error) {
	w.result.Unpublished++
	w.warnings.add("%s could not be published: %v", label(name, id), why)
}

// warnPrevious names members of an observation that were changed, and too large to be repeated as
// they were.
func (w *walk) warnPrevious(o observation) {
	var left []string
	for _, name := range o.omitted {
		if member, ok := strings.CutPrefix(name, previousMember); ok {
			left = append(left, member)
		}
	}
	if len(left) > 0 {
		w.warnings.add("%s has changed, and is too large to be published with what was before: previous is without %s",
			label(o.name, o.id), clip(strings.Join(left, ", "), maxName))
	}
}

// observe marks a mailbox that the vendor lists as seen, and gives the observation to publish; nil
// for none.
func (w *walk) observe(m enpower.Mailbox, at time.Time) *observation {
	if m.ID == "" {
		w.result.Unidentified++
		return nil
	}
	token := event.Token(m.Key())
	key := keyOf(token)
	before, was := w.index[key]
	if before.has(seen) {
		w.result.Duplicates++
		return nil
	}
	facts, err := json.Marshal(m)
	content := contentOf(facts)
	w.index[key] = entry{content: before.content, packed: before.packed | seen}
	w.result.Seen++
	if len(token) > maxToken {
		err = fmt.Errorf("its id has %d bytes as part of a subject; at most %d are possible", len(token), maxToken)
	}
	if err != nil {
		w.refuse(m.DisplayName, m.ID, err)
		return nil
	}
	facts, omitted := shorten(facts, w.store.maxFacts)
	if len(omitted) > 0 {
		w.result.Truncated++
		w.warnings.add("%s is too large for one message: it is published without %s",
			label(m.DisplayName, m.ID), clip(strings.Join(omitted, ", "), maxName))
	}
	if was && before.content == content && !before.has(missing) {
		w.count(before.earlierChange())
		return nil
	}
	return &observation{
		list: w.scope.list(), key: m.Key(), id: m.ID, name: m.DisplayName, facts: facts, omitted: omitted, content: content, at: at,
		change: changeOf(before, was), replaces: before.sequence(),
	}
}

// changeOf gives the change of a mailbox against what was published before this operation.
func changeOf(before entry, was bool) string {
	switch earlier := before.earlierChange(); {
	case !was:
		return event.ChangeNew
	case before.has(missing):
		return event.ChangeReturned
	case earlier != "":
		return earlier // by an earlier attempt of this operation; it has changed once more since
	default:
		return event.ChangeChanged
	}
}

func (w *walk) count(change string) {
	switch change {
	case event.ChangeNew:
		w.result.New++
	case event.ChangeChanged:
		w.result.Changed++
	case event.ChangeReturned:
		w.result.Returned++
	default:
		w.result.Unchanged++
	}
}

// maxMissingAtOnce is how many absent mailboxes are in memory at a time.
const maxMissingAtOnce = 500

// reportMissing reports the mailboxes that the walk should have met and did not, if they are not too many.
func (w *walk) reportMissing(ctx context.Context) error {
	var sequences []uint64
	reported := 0
	for _, k := range w.index {
		switch {
		case k.has(seen) || !k.expected():
		case k.has(missing):
			reported++ // by an earlier attempt
		default:
			sequences = append(sequences, k.sequence())
		}
	}
	w.result.Absent, w.result.Missing = reported+len(sequences), reported
	if !w.command.AcceptMissing && w.result.Unidentified > 0 && len(sequences) > 0 {
		w.result.Suspect = true
		w.warnings.add("%d rows tell no mailbox, and %d known mailboxes were not met: none is reported missing, since they may be those rows",
			w.result.Unidentified, len(sequences))
		return nil
	}
	if !w.command.AcceptMissing && w.guard.suspects(w.result.Known, w.result.Absent, w.result.Seen) {
		w.result.Suspect = true
		return nil
	}
	for len(sequences) > 0 {
		some := sequences[:min(len(sequences), maxMissingAtOnce)]
		sequences = sequences[len(some):]
		missing, unreadable, err := w.store.missingObservations(ctx, some)
		if err != nil {
			return err
		}
		outcomes, err := w.store.publish(ctx, missing)
		if err != nil {
			return err
		}
		published := 0
		for i, o := range missing {
			if outcomes[i].published {
				published++
			} else if why := outcomes[i].refused; why != nil {
				w.warnings.add("%s was not met, which could not be published: %v", label(o.name, o.id), why)
			}
		}
		for _, s := range unreadable {
			w.warnings.add("message %d of %s can not be read: whether mailbox %s is missing can not be told; remove the message",
				s.sequence, topology.StreamMailboxes, clip(s.subject, maxName))
		}
		w.result.Missing += published
		w.published += published
		// another sync has met them meanwhile, or they are named in a warning
		w.result.Absent -= len(some) - published
		if err := w.progress(ctx); err != nil {
			return err
		}
	}
	return nil
}

// progress tells how far the walk has come, if it is time.
func (w *walk) progress(ctx context.Context) error {
	if time.Since(w.progressAt) < progressEvery {
		return nil
	}
	w.progressAt = time.Now()
	return w.attempt.Emit(ctx, event.TypeSyncProgress, event.SyncProgressData{
		StartedData: w.attempt.Started(), Seen: w.result.Seen, Pages: w.result.Pages, Known: w.result.Known, Published: w.published, StartedAt: w.result.StartedAt,
	})
}
