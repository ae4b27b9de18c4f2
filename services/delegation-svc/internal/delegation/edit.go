package delegation

import (
	"context"
	"slices"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// edit is the change that a command makes to a mailbox's list of delegates.
type edit struct {
	mailbox string
	before  roster
	// after is the list that the command wants. Delegates that the command names stand in it under
	// the command's addresses.
	after []string
	// add are addresses. remove are entries of before.names.
	add, remove []string
	// uncertain are addresses to remove that may be in the list under another name. The vendor is
	// asked to remove them too: removing somebody who is not a delegate changes nothing.
	uncertain []string
	// replacesList is true if the command gives the whole list.
	replacesList bool
}

func (e edit) needed() bool { return len(e.add)+len(e.remove)+len(e.uncertain) > 0 }

// removals are all names that the vendor is asked to remove.
func (e edit) removals() []string { return slices.Concat(e.remove, e.uncertain) }

// readEdit reads the mailbox's list and returns the change that a command makes to it.
type readEdit func(context.Context, *operation.Attempt) (edit, error)

// readSetEdit is the readEdit of delegation.set, which gives the whole list.
func (d delegator) readSetEdit(ctx context.Context, run *operation.Attempt) (edit, error) {
	var data event.DelegationSetData
	if err := run.Decode(&data); err != nil {
		return edit{}, err
	}
	before, err := d.readRoster(ctx, data.Mailbox, data.Delegates)
	if err != nil {
		return edit{}, err
	}
	return setEdit(data, before)
}

// setEdit is the change from a list to the one in the command. before is resolved to
// data.Delegates.
func setEdit(data event.DelegationSetData, before roster) (edit, error) {
	if !before.returned && len(data.Delegates) == 0 {
		return edit{}, &failure.Error{
			Kind: failure.Internal, Vendor: exchangeonline.Vendor,
			Text: "the vendor does not tell who the delegates are, and an empty list is reached by removing each by name",
		}
	}
	return edit{
		mailbox: data.Mailbox, before: before, after: data.Delegates, replacesList: true,
		add: minus(data.Delegates, before.names), remove: minus(before.names, data.Delegates),
	}, nil
}

// readChangeEdit is the readEdit of delegation.change, which gives addresses to add and to remove.
func (d delegator) readChangeEdit(ctx context.Context, run *operation.Attempt) (edit, error) {
	var data event.DelegationChangeData
	if err := run.Decode(&data); err != nil {
		return edit{}, err
	}
	if both := intersection(data.Add, data.Remove); len(both) > 0 {
		return edit{}, operation.Reject("/remove", "names a delegate that add names too; each may stand in one of them")
	}
	m, err := d.getMailbox(ctx, data.Mailbox)
	if err != nil {
		return edit{}, err
	}
	before := rosterOf(m)
	before, err = resolveNames(ctx, before, addressesToResolve(data, before), d.getMailbox)
	if err != nil {
		return edit{}, err
	}
	return changeEdit(data, before), nil
}

// addressesToResolve are the addresses of a command whose entries must be found. An address to add
// needs no look-up in a list of addresses: if it is not in the list under itself it is added, and
// adding a delegate twice changes nothing.
func addressesToResolve(data event.DelegationChangeData, before roster) []string {
	if hasNonAddresses(before.listed) {
		return slices.Concat(data.Add, data.Remove)
	}
	return data.Remove
}

// changeEdit is the change that a command makes to a list, without what the list has already.
// before is resolved to [addressesToResolve].
func changeEdit(data event.DelegationChangeData, before roster) edit {
	e := edit{
		mailbox: data.Mailbox, before: before,
		add: minus(data.Add, before.names), remove: intersection(data.Remove, before.names),
	}
	e.uncertain = minus(data.Remove, before.names)
	if !hasNonAddresses(before.others(addressesToResolve(data, before))) {
		e.uncertain = intersection(e.uncertain, before.unresolved)
	}
	e.after = slices.Concat(minus(before.names, e.remove), e.add)
	return e
}

func (d delegator) planSet(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	e, err := d.readSetEdit(ctx, run)
	return e.plan(), err
}

func (d delegator) planChange(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	e, err := d.readChangeEdit(ctx, run)
	return e.plan(), err
}

// plan is the answer of a dry run.
func (e edit) plan() event.Plan {
	p := event.Plan{Target: e.mailbox, Exists: true}
	for _, address := range e.add {
		p.Changes = append(p.Changes, event.Change{Action: "add", What: "delegate", Value: address})
	}
	for _, address := range e.removals() {
		p.Changes = append(p.Changes, event.Change{Action: "remove", What: "delegate", Value: address})
	}
	return p
}
