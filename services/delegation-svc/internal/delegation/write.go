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
	return d.apply(ctx, run, d.editOfSet)
}

func (d delegator) change(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	return d.apply(ctx, run, d.editOfChange)
}

// apply writes an edit and tells what became of it. Repeated, it finds nothing left to write.
func (d delegator) apply(ctx context.Context, run *operation.Attempt, read readEdit) (operation.Reply, error) {
	e, err := read(ctx, run)
	if err != nil {
		return operation.Reply{}, err
	}
	run.Reach(failpoint.Change) // between what was read and what is written
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

// notChanged is what an error means whose call has ended, if reading does not show what it wrote.
func notChanged(err error) error {
	f := *failure.Of(err)
	f.Kind, f.Text, f.Cause = failure.Unavailable, "the vendor failed, and did not make the change", err
	return &f
}

// write sends an edit to the vendor. unknown are the removals whose names the vendor does not know:
// of these nothing was removed. The error is NotFound if the vendor does not know the mailbox, or
// somebody to be added; who is to be removed has been removed then.
func (d delegator) write(ctx context.Context, e edit) (unknown []string, err error) {
	// the page does not say what an empty list does; removing by name is documented
	if e.replacesList && len(e.after) > 0 {
		err = d.client.SetSendOnBehalf(ctx, e.mailbox, e.after)
	} else {
		err = d.client.ChangeSendOnBehalf(ctx, e.mailbox, e.add, e.removals())
	}
	if !isNameFailure(err) {
		return nil, err
	}
	// One name that does not resolve fails the whole call. It must not keep a right in force that
	// the command takes away from others.
	if _, err := d.client.GetMailbox(ctx, e.mailbox, exchangeonline.GetOptions{}); err != nil {
		return nil, err
	}
	unknown, removeErr := d.removeEach(ctx, e)
	if removeErr != nil {
		return unknown, removeErr
	}
	// else the first call was about those to be added alone
	if len(e.add) > 0 && len(e.removals()) > 0 {
		err = d.client.ChangeSendOnBehalf(ctx, e.mailbox, e.add, nil)
	}
	switch {
	case len(e.add) == 0:
		return unknown, nil
	case isNameFailure(err):
		err = d.nameUnknown(ctx, e.add, err)
		if removed := minus(e.removals(), unknown); len(removed) > 0 {
			f := failure.Of(err)
			f.Text += "; removed are " + strings.Join(removed, ", ")
		}
	}
	return unknown, err
}

// isNameFailure reports whether the vendor did not find what a name in the call stands for, or found
// several recipients. A failure without a code is the client's own: nothing was sent.
func isNameFailure(err error) bool {
	f := failure.Of(err)
	return f != nil && f.Code != "" && (f.Kind == failure.NotFound || f.Kind == failure.Invalid)
}

// contradictionRetry is how long a removal is retried of which the vendor says that there is nobody
// of that name, although it knows a mailbox of that name: its servers disagree for a while.
const contradictionRetry = time.Hour

// removeEach removes one delegate a call, and goes on where the vendor does not know a name. It
// returns those names, and at the end an error for a name that it could not remove although
// somebody may have the right under it.
func (d delegator) removeEach(ctx context.Context, e edit) (unknown []string, err error) {
	var kept error
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
			f.Text, f.Cause = fmt.Sprintf("the delegate %q could not be removed: %s", name, f.Text), err
			f.RetryFor = contradictionRetry
			kept = &f
		}
	}
	return unknown, kept
}

// resolves reports whether a name is that of a mailbox, or of several.
func (d delegator) resolves(ctx context.Context, name string) (bool, error) {
	_, err := d.client.GetMailbox(ctx, name, exchangeonline.GetOptions{})
	switch {
	case failure.Is(err, failure.NotFound):
		return false, nil
	case failure.Is(err, failure.Invalid):
		return true, nil
	}
	return err == nil, err
}

// nameUnknown adds to an error about those to be added which of them the vendor does not know.
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
	case len(suspects) > 1: // groups and contacts are no mailboxes either
		f.Text = fmt.Sprintf("one of the delegates %s can not be added: %s", strings.Join(suspects, ", "), f.Text)
	}
	return &f
}

// done is what an edit leaves if the vendor did everything that it says.
func (e edit) done() event.DelegationChangedData {
	return event.DelegationChangedData{Mailbox: e.mailbox, Delegates: e.after, Added: e.add, Removed: e.remove}
}

// confirm tells what a written edit has left. What a unique name does not confirm is read back;
// what cannot be told then is a warning that names it, and is not told as done.
func (d delegator) confirm(ctx context.Context, e edit, unknown []string) event.DelegationChangedData {
	out := e.done()
	out.Removed = minus(e.remove, unknown)
	out.Delegates = slices.Concat(e.after, intersection(e.remove, unknown))
	for _, name := range unknown {
		warn(&out, warningUnknown(name, contains(e.remove, name)))
	}
	uncertain := minus(e.uncertain, unknown)
	if e.replacesList {
		uncertain = intersection(e.add, e.before.unresolved)
	}
	if !e.before.returned {
		warn(&out, "The vendor does not tell the mailbox's delegates: the list holds only those that the command names.")
	}
	if len(uncertain) == 0 || e.replacesList && len(e.remove) == 0 {
		return out
	}
	m, err := worker.ReadBack(ctx, func(ctx context.Context) (exchangeonline.Mailbox, error) {
		return d.client.GetMailbox(ctx, e.mailbox, exchangeonline.GetOptions{})
	})
	if now := rosterOf(m); err != nil || !now.returned {
		warn(&out, fmt.Sprintf("The list could not be read again: whether %s was in it under another name is not known.", strings.Join(uncertain, ", ")))
	} else if e.replacesList {
		e.confirmSet(&out, uncertain, now.listed)
	} else {
		e.confirmRemoval(&out, uncertain, now.listed)
	}
	return out
}

// confirmRemoval tells by the list afterwards whether the uncertain ones were in it. The vendor was
// asked to remove them by address, so none of them is a delegate any longer: an entry that is still
// listed is somebody else's, or the list is not up to date yet.
func (e edit) confirmRemoval(out *event.DelegationChangedData, uncertain, listed []string) {
	var others, gone []string // entries that the command does not name, and which of them have left
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
			warn(out, fmt.Sprintf("%s is not confirmed as removed: %q is still listed, which is also the display name of that mailbox, and may be somebody else.", address, lookalike))
		case contains(e.before.unresolved, address):
			warn(out, fmt.Sprintf("%s is not confirmed as removed: it is no mailbox whose names are known, and still listed are %s.", address, quoted(others)))
		}
	}
}

// confirmSet tells by the list afterwards who of those that seemed to be replaced is listed still:
// that is somebody whom the command names, under another name.
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

// changed is the result of a command that set or changed the list.
func changed(run *operation.Attempt, data event.DelegationChangedData) operation.Reply {
	data.Operation = run.Operation
	data.Changed = len(data.Added)+len(data.Removed) > 0
	data.Delegates, data.Added, data.Removed = nonNil(data.Delegates), nonNil(data.Added), nonNil(data.Removed)
	return operation.Reply{Type: event.TypeDelegationChanged, Data: data}
}

// nonNil keeps an empty list an empty list in JSON, not null.
func nonNil(list []string) []string { return append([]string{}, list...) }
