package delegation

import (
	"context"
	"slices"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// edit is what a command would change about a mailbox's list.
type edit struct {
	mailbox string
	before  roster
	// after is the list as the command wants it, in the command's addresses where it names them.
	after []string
	// add are addresses; remove are entries of the list, called as in before.names.
	add, remove []string
	// uncertain are addresses to be removed that may be in the list under another name. The vendor
	// is asked to remove them too: to remove who is no delegate changes nothing.
	uncertain []string
	// whole: the command gives the whole list.
	replacesList bool
}

func (e edit) needed() bool { return len(e.add)+len(e.remove)+len(e.uncertain) > 0 }

// removals are all names that the vendor is asked to remove.
func (e edit) removals() []string { return slices.Concat(e.remove, e.uncertain) }

// readEdit reads the present list and works out what a command would change about it.
type readEdit func(context.Context, *operation.Attempt) (edit, error)

// editOfSet is the edit of delegation.set, which gives the whole list.
func (d delegator) editOfSet(ctx context.Context, run *operation.Attempt) (edit, error) {
	var data event.DelegationSetData
	if err := run.Decode(&data); err != nil {
		return edit{}, err
	}
	before, err := d.readRoster(ctx, data.Mailbox, data.Delegates)
	if err != nil {
		return edit{}, err
	}
	if !before.returned && len(data.Delegates) == 0 {
		return edit{}, &failure.Error{Kind: failure.Internal, Vendor: exchangeonline.Vendor, Text: "the vendor does not tell who the delegates are, and an empty list is reached by removing each by name"}
	}
	return edit{
		mailbox: data.Mailbox, before: before, after: data.Delegates, replacesList: true,
		add: minus(data.Delegates, before.names), remove: minus(before.names, data.Delegates),
	}, nil
}

// editOfChange is the edit of delegation.change. It leaves out what is already so.
func (d delegator) editOfChange(ctx context.Context, run *operation.Attempt) (edit, error) {
	var data event.DelegationChangeData
	if err := run.Decode(&data); err != nil {
		return edit{}, err
	}
	if both := intersection(data.Add, data.Remove); len(both) > 0 {
		return edit{}, operation.Reject("/remove", "names a delegate that add names too; each may stand in one of them")
	}
	m, err := d.client.GetMailbox(ctx, data.Mailbox, exchangeonline.GetOptions{})
	if err != nil {
		return edit{}, err
	}
	before := rosterOf(m)
	// who is to be added and not found in the list is added again, which changes nothing
	named := data.Remove
	if hasNonAddresses(before.listed) {
		named = slices.Concat(data.Add, data.Remove)
	}
	if before, err = d.resolveNames(ctx, before, named); err != nil {
		return edit{}, err
	}
	e := edit{
		mailbox: data.Mailbox, before: before,
		add: minus(data.Add, before.names), remove: intersection(data.Remove, before.names),
	}
	e.uncertain = minus(data.Remove, before.names)
	if !hasNonAddresses(before.others(named)) {
		e.uncertain = intersection(e.uncertain, before.unresolved)
	}
	e.after = slices.Concat(minus(before.names, e.remove), e.add)
	return e, nil
}

func (d delegator) planSet(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	return plan(d.editOfSet(ctx, run))
}

func (d delegator) planChange(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	return plan(d.editOfChange(ctx, run))
}

func plan(e edit, err error) (event.Plan, error) {
	p := event.Plan{Target: e.mailbox, Exists: true}
	for _, address := range e.add {
		p.Changes = append(p.Changes, event.Change{Action: "add", What: "delegate", Value: address})
	}
	for _, address := range e.removals() {
		p.Changes = append(p.Changes, event.Change{Action: "remove", What: "delegate", Value: address})
	}
	return p, err
}
