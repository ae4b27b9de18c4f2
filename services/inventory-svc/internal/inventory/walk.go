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

// progressEvery is how often a walk publishes its progress. Each time adds an event to the
// operation's history.
const progressEvery = 5 * time.Second

// walk reads the vendor's list once: one attempt of a sync.
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

// run reads the list from the first page to the last, and then reports the mailboxes that it did
// not have.
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

// pages reads the list, one page ahead of the page that is being published.
func (w *walk) pages(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages, ended := make(chan enpower.Page), make(chan error, 1)
	go func() {
		defer close(pages)
		q := enpower.Query{
			Tenant: w.command.Tenant, Type: enpower.MailboxType(w.command.MailboxType), PageSize: int(w.command.PageSize),
		}
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
		case <-tick.C: // reports progress also while the vendor is slow
		}
		if err := w.progress(ctx); err != nil {
			return err
		}
	}
}

// page counts a page's mailboxes, and publishes those that are new, changed or have returned.
func (w *walk) page(ctx context.Context, page enpower.Page) error {
	now := time.Now().UTC()
	w.result.Pages++
	for _, row := range page.Unreadable {
		w.result.Unidentified++
		w.warnings.add("page %d, row %d is no object: it tells no mailbox", page.Number, row)
	}
	var changed []observation
	for _, m := range page.Mailboxes {
		if o := w.observe(m, now); o != nil {
			changed = append(changed, *o)
		}
	}
	if err := w.store.loadPrevious(ctx, changed); err != nil {
		return err
	}
	outcomes, err := w.store.publish(ctx, changed)
	if err != nil {
		return err
	}
	for i, o := range changed {
		switch {
		case outcomes[i].refused != nil:
			w.refuse(o.name, o.id, outcomes[i].refused)
		case outcomes[i].published:
			w.count(o.change)
			w.published++
		default:
			w.result.Unchanged++ // another sync has published the same or newer facts
		}
		w.warnPrevious(o)
	}
	return nil
}

// refuse counts a mailbox that cannot be published, and names it in a warning. The vendor's list
// has it, so it is not reported missing.
func (w *walk) refuse(name, id string, why error) {
	w.result.Unpublished++
	w.warnings.add("%s could not be published: %v", label(name, id), why)
}

// warnPrevious names in a warning the changed members whose old values were too large for the
// message.
func (w *walk) warnPrevious(o observation) {
	var left []string
	for _, name := range o.omitted {
		if member, ok := strings.CutPrefix(name, previousMember); ok {
			left = append(left, member)
		}
	}
	if len(left) > 0 {
		w.warnings.add("%s has changed, and is too large to be published with what was before: previous is without %s",
			label(o.name, o.id), clip(strings.Join(left, ", ")))
	}
}

// observe marks a mailbox of the vendor's list as seen. It returns the observation to publish; nil
// if there is none.
func (w *walk) observe(m enpower.Mailbox, at time.Time) *observation {
	if m.ID == "" {
		w.result.Unidentified++
		return nil
	}
	token := event.Token(m.Key())
	key := keyOf(token)
	before, known := w.index[key]
	if before.has(seen) {
		w.result.Duplicates++
		return nil
	}
	facts, err := json.Marshal(m)
	content := contentOf(facts)
	before.packed |= seen
	w.index[key] = before
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
			label(m.DisplayName, m.ID), clip(strings.Join(omitted, ", ")))
	}
	if known && before.content == content && !before.has(missing) {
		w.count(before.earlierChange())
		return nil
	}
	return &observation{
		list: w.scope.list(), key: m.Key(), id: m.ID, name: m.DisplayName,
		facts: facts, omitted: omitted, content: content, at: at,
		change: changeOf(before, known), replaces: before.sequence(),
	}
}

// changeOf is the change of a mailbox since its last observation before this operation. known is
// false if there is none.
func changeOf(before entry, known bool) string {
	switch earlier := before.earlierChange(); {
	case !known:
		return event.ChangeNew
	case before.has(missing):
		return event.ChangeReturned
	case earlier != "":
		// an earlier attempt of this operation published it, and the mailbox has changed again
		// since
		return earlier
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

// maxMissingAtOnce bounds the missing mailboxes whose facts are in memory.
const maxMissingAtOnce = 500

// reportMissing publishes the mailboxes that the list should have and does not, unless there are so
// many that the sync is suspect.
func (w *walk) reportMissing(ctx context.Context) error {
	var sequences []uint64
	reported := 0
	for _, k := range w.index {
		switch {
		case k.has(seen) || !k.expected():
		case k.has(missing):
			reported++ // by an earlier attempt of this operation
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
			w.warnings.add("message %d of %s cannot be read: whether mailbox %s is missing cannot be told; remove the message",
				s.sequence, topology.StreamMailboxes, clip(s.subject))
		}
		w.result.Missing += published
		w.published += published
		// another sync has published newer observations of the others, or a warning names them
		w.result.Absent -= len(some) - published
		if err := w.progress(ctx); err != nil {
			return err
		}
	}
	return nil
}

// progress publishes how far the walk has come, at most every [progressEvery].
func (w *walk) progress(ctx context.Context) error {
	if time.Since(w.progressAt) < progressEvery {
		return nil
	}
	w.progressAt = time.Now()
	return w.attempt.Emit(ctx, event.TypeSyncProgress, event.SyncProgressData{
		StartedData: w.attempt.Started(), Seen: w.result.Seen, Pages: w.result.Pages, Known: w.result.Known,
		Published: w.published, StartedAt: w.result.StartedAt,
	})
}
