package delegation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/worker"
)

func (d delegator) set(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	return d.apply(ctx, run, d.readSetEdit)
}

func (d delegator) change(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	return d.apply(ctx, run, d.readChangeEdit)
}

// apply reads an edit, writes it, and returns what was changed. A second attempt after a complete
// first one finds nothing left to write.
func (d delegator) apply(ctx context.Context, run *operation.Attempt, read readEdit) (operation.Reply, error) {
	e, err := read(ctx, run)
	if err != nil {
		return operation.Reply{}, err
	}
	run.Reach(failpoint.Change) // between reading and writing
	if !e.needed() {
		return changed(run, e.done()), nil
	}
	unknown, err := d.write(ctx, e)
	if exchangeonline.HasEnded(err) {
		if now, readErr := read(ctx, run); readErr == nil && !now.needed() {
			return changed(run, e.done()), nil
		}
		err = notChanged(err)
	}
	if err != nil {
		return operation.Reply{}, err
	}
	return changed(run, d.confirm(ctx, e, unknown)), nil
}

// notChanged turns the Unknown failure of a call that has ended into Unavailable, so that the
// command is tried again. The caller has read that the call changed nothing.
func notChanged(err error) error {
	f := *failure.Of(err)
	f.Kind = failure.Unavailable
	f.Text = "the vendor failed, and did not make the change"
	f.Cause = err
	return &f
}

// write sends an edit to the vendor. unknown are the names in e.removals() that the vendor does not
// know; it removed nobody for them. The error is NotFound if the vendor does not know the mailbox,
// or an address to add; in the latter case the removals have been made.
func (d delegator) write(ctx context.Context, e edit) (unknown []string, err error) {
	err = d.writeAtOnce(ctx, e)
	if !isNameFailure(err) {
		return nil, err
	}
	if _, err := d.getMailbox(ctx, e.mailbox); err != nil {
		return nil, err
	}
	// One unknown name made the whole call fail. Each delegate is removed by a call of its own, so
	// that no right which the command takes away stays in force because of another name.
	unknown, removeErr := d.removeEach(ctx, e)
	if removeErr != nil {
		return unknown, removeErr
	}
	if len(e.add) == 0 {
		return unknown, nil
	}
	if len(e.removals()) > 0 { // otherwise the first call was about e.add alone
		err = d.client.ChangeSendOnBehalf(ctx, e.mailbox, e.add, nil)
	}
	if isNameFailure(err) {
		err = d.nameUnknown(ctx, e.add, err)
		if removed := minus(e.removals(), unknown); len(removed) > 0 {
			f := failure.Of(err)
			f.Text += "; removed are " + strings.Join(removed, ", ")
		}
	}
	return unknown, err
}

// writeAtOnce sends an edit in one call. An empty list is written by removing each delegate: the
// vendor's page does not say what an empty list does, but documents removing by name.
func (d delegator) writeAtOnce(ctx context.Context, e edit) error {
	if e.replacesList && len(e.after) > 0 {
		return d.client.SetSendOnBehalf(ctx, e.mailbox, e.after)
	}
	return d.client.ChangeSendOnBehalf(ctx, e.mailbox, e.add, e.removals())
}

// isNameFailure reports whether the vendor found no recipient, or several, for a name in the call.
// A failure without a code comes from our client, before anything was sent, and is none of these.
func isNameFailure(err error) bool {
	f := failure.Of(err)
	return f != nil && f.Code != "" && (f.Kind == failure.NotFound || f.Kind == failure.Invalid)
}

// contradictionRetry bounds the retries of a removal by a name that the vendor refuses as unknown,
// although it has a mailbox of that name. Its servers disagree for a while after a change.
const contradictionRetry = time.Hour

// removeEach removes each delegate by a call of its own. It returns the names that the vendor does
// not know. After all calls it returns an error if a name could not be removed although a mailbox
// has it, since that mailbox may still have the right.
func (d delegator) removeEach(ctx context.Context, e edit) (unknown []string, err error) {
	var notRemoved error
	for _, name := range e.removals() {
		err := d.client.ChangeSendOnBehalf(ctx, e.mailbox, nil, []string{name})
		if err == nil {
			continue
		}
		if !isNameFailure(err) {
			return unknown, err
		}
		resolves, lookUpErr := d.resolves(ctx, name)
		switch {
		case lookUpErr != nil:
			return unknown, lookUpErr
		case failure.Is(err, failure.NotFound) && !resolves:
			unknown = append(unknown, name)
		default:
			f := *failure.Of(err)
			f.Text = fmt.Sprintf("the delegate %q could not be removed: %s", name, f.Text)
			f.Cause = err
			f.RetryFor = contradictionRetry
			notRemoved = &f
		}
	}
	return unknown, notRemoved
}

// resolves reports whether at least one mailbox has a name.
func (d delegator) resolves(ctx context.Context, name string) (bool, error) {
	_, err := d.getMailbox(ctx, name)
	switch {
	case failure.Is(err, failure.NotFound):
		return false, nil
	case failure.Is(err, failure.Invalid):
		return true, nil
	}
	return err == nil, err
}

// nameUnknown adds to an error about addresses to add which of them the vendor does not know.
func (d delegator) nameUnknown(ctx context.Context, added []string, err error) error {
	suspects := added
	if len(added) > 1 {
		suspects = nil
		for _, address := range added {
			if resolves, lookUpErr := d.resolves(ctx, address); lookUpErr == nil && !resolves {
				suspects = append(suspects, address)
			}
		}
	}
	f := *failure.Of(err)
	f.Cause = err
	switch {
	case len(suspects) == 1:
		f.Text = fmt.Sprintf("the delegate %s can not be added: %s", suspects[0], f.Text)
	// a group or a contact is no mailbox, so it may be a valid one among them
	case len(suspects) > 1:
		f.Text = fmt.Sprintf("one of the delegates %s can not be added: %s", strings.Join(suspects, ", "), f.Text)
	}
	return &f
}

// done is the result if the vendor made the whole edit.
func (e edit) done() event.DelegationChangedData {
	return event.DelegationChangedData{Mailbox: e.mailbox, Delegates: e.after, Added: e.add, Removed: e.remove}
}

// written is the result of a written edit of which the vendor does not know some removals, before
// the list is read back.
func (e edit) written(unknown []string) event.DelegationChangedData {
	out := e.done()
	out.Removed = minus(e.remove, unknown)
	out.Delegates = slices.Concat(e.after, intersection(e.remove, unknown))
	for _, name := range unknown {
		warn(&out, warningUnknown(name, contains(e.remove, name)))
	}
	if !e.before.returned {
		warn(&out, "The vendor does not tell the mailbox's delegates: the list holds only those that the command names.")
	}
	return out
}

// toReadBack are the addresses for which only the list after the change tells whether the change
// was about them. If there are none, the list need not be read again.
func (e edit) toReadBack(unknown []string) []string {
	if !e.replacesList {
		return minus(e.uncertain, unknown)
	}
	if len(e.remove) == 0 {
		return nil
	}
	return intersection(e.add, e.before.unresolved)
}

// confirm returns the result of a written edit. It reads the list again for delegates that were not
// resolved to a unique name. A removal or an addition that stays unconfirmed is a warning, and is
// not in the result's lists.
func (d delegator) confirm(ctx context.Context, e edit, unknown []string) event.DelegationChangedData {
	out := e.written(unknown)
	uncertain := e.toReadBack(unknown)
	if len(uncertain) == 0 {
		return out
	}
	m, err := worker.ReadBack(ctx, func(ctx context.Context) (exchangeonline.Mailbox, error) {
		return d.getMailbox(ctx, e.mailbox)
	})
	now := rosterOf(m)
	switch {
	case err != nil || !now.returned:
		warn(&out, fmt.Sprintf("The list could not be read again: whether %s was in it under another name is not known.",
			strings.Join(uncertain, ", ")))
	case e.replacesList:
		e.confirmSet(&out, uncertain, now.listed)
	default:
		e.confirmRemoval(&out, uncertain, now.listed)
	}
	return out
}

// confirmRemoval finds out from the list after the change which of the uncertain addresses were in
// it. The vendor was asked to remove them by address, so none of them is a delegate any longer. An
// entry that is still listed is somebody else, or the list is not up to date yet.
func (e edit) confirmRemoval(out *event.DelegationChangedData, uncertain, listed []string) {
	// Of the entries that the command does not name: those that are still listed, and those that
	// are not.
	var others, gone []string
	for i, name := range e.before.names {
		switch {
		case contains(e.remove, name):
		case contains(listed, e.before.listed[i]):
			others = append(others, name)
		default:
			gone = append(gone, name)
		}
	}
	out.Delegates = minus(out.Delegates, gone)
	if len(gone) >= len(uncertain) {
		out.Removed = slices.Concat(out.Removed, uncertain)
		return
	}
	out.Removed = slices.Concat(out.Removed, gone)
	for _, address := range uncertain {
		lookalike := e.before.lookalikes[strings.ToLower(address)]
		switch {
		case lookalike != "":
			warn(out, fmt.Sprintf("%s is not confirmed as removed: %q is still listed, which is also the display name of that mailbox, and may be somebody else.",
				address, lookalike))
		case contains(e.before.unresolved, address):
			warn(out, fmt.Sprintf("%s is not confirmed as removed: it is no mailbox whose names are known, and still listed are %s.",
				address, quoted(others)))
		}
	}
}

// confirmSet finds out from the list after the change which entries that were to be replaced are
// still listed. Such an entry is one of the uncertain addresses under another name.
func (e edit) confirmSet(out *event.DelegationChangedData, uncertain, listed []string) {
	still := intersection(e.remove, listed)
	if len(still) == 0 {
		return
	}
	out.Removed = minus(out.Removed, still)
	if len(still) >= len(uncertain) {
		out.Added = minus(out.Added, uncertain)
	}
	warn(out, fmt.Sprintf("Still listed are %s: taken for %s under another name.", quoted(still), strings.Join(uncertain, ", ")))
}

func warningUnknown(name string, listed bool) string {
	if listed {
		return fmt.Sprintf("%q is still listed: the vendor does not know that name any longer, as after somebody has left, and can not remove it.", name)
	}
	return fmt.Sprintf("%s is not confirmed as removed: the vendor does not know that name.", name)
}

func warn(out *event.DelegationChangedData, text string) {
	out.Warnings = append(out.Warnings, event.Warning{Text: text})
}

func quoted(names []string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(texts, ", ")
}

// changed is the reply to a command that set or changed the list.
func changed(run *operation.Attempt, data event.DelegationChangedData) operation.Reply {
	data.Operation = run.Operation
	data.Changed = len(data.Added)+len(data.Removed) > 0
	data.Delegates = nonNil(data.Delegates)
	data.Added = nonNil(data.Added)
	data.Removed = nonNil(data.Removed)
	return operation.Reply{Type: event.TypeDelegationChanged, Data: data}
}

// nonNil makes an empty list [] in JSON, not null.
func nonNil(list []string) []string { return append([]string{}, list...) }
