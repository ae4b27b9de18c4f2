// Package delegation carries out the commands of the domain delegation.
package delegation

import (
	"context"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	clients, err := tenant.Connect(d.Tenants, exchangeonline.Vendor, func(t *tenant.Tenant) *tenant.ExchangeOnline { return t.ExchangeOnline },
		func(c *tenant.ExchangeOnline) (delegator, error) {
			cfg := c.Client(d.Config.HTTP())
			cfg.PagePatience = worker.PagePatience
			client, err := exchangeonline.New(cfg)
			return delegator{client}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{
		event.DelegationSet:    worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.set, Plan: delegator.planSet, ReadBack: readBack}),
		event.DelegationChange: worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.change, Plan: delegator.planChange, ReadBack: readBack}),
		event.DelegationRead:   worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.read}),
		event.FolderGrant:      worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.grant, Plan: delegator.planGrant, ReadBack: readBackFolder}),
		event.FolderRevoke:     worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.revoke, Plan: delegator.planRevoke, ReadBack: readBackFolder}),
		event.FolderRead:       worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.readFolder}),
	}, nil
}

// delegator reads and changes the delegates of one tenant's mailboxes.
type delegator struct{ client *exchangeonline.Client }

// edit is what a command would change about a mailbox's list.
type edit struct {
	mailbox       string
	before, after []string
	add, remove   []string
	whole         bool // the command gives the whole list
}

func (e edit) needed() bool { return len(e.add)+len(e.remove) > 0 }

// editOfSet reads the present list, to tell what replacing it adds and removes.
func (d delegator) editOfSet(ctx context.Context, run *operation.Run) (edit, error) {
	var data event.DelegationSetData
	if err := run.Decode(&data); err != nil {
		return edit{}, err
	}
	before, _, err := d.delegates(ctx, data.Mailbox, data.Delegates, nil)
	if err == nil && before == nil && len(data.Delegates) == 0 {
		err = &failure.Error{Kind: failure.Internal, Vendor: exchangeonline.Vendor, Text: "the vendor does not tell who the delegates are, and an empty list is reached by removing each by name"}
	}
	return edit{mailbox: data.Mailbox, before: before, after: data.Delegates, add: minus(data.Delegates, before), remove: minus(before, data.Delegates), whole: true}, err
}

// editOfChange reads the present list, to leave out what is already so.
func (d delegator) editOfChange(ctx context.Context, run *operation.Run) (edit, error) {
	var data event.DelegationChangeData
	if err := run.Decode(&data); err != nil {
		return edit{}, err
	}
	if both := intersection(data.Add, data.Remove); len(both) > 0 {
		return edit{}, operation.Reject("/remove", "names a delegate that add names too; each may stand in one of them")
	}
	before, strangers, err := d.delegates(ctx, data.Mailbox, data.Add, data.Remove)
	add, remove := minus(data.Add, before), intersection(data.Remove, before)
	// Whoever may be in the list under another name is removed by the command's; to remove nobody is no error.
	if remove = append(remove, intersection(data.Remove, strangers)...); anonymous(before) {
		remove = data.Remove
	}
	return edit{mailbox: data.Mailbox, before: before, after: slices.Concat(minus(before, remove), add), add: add, remove: remove}, err
}

func (d delegator) set(ctx context.Context, run *operation.Run) (operation.Result, error) {
	e, err := d.editOfSet(ctx, run)
	if err != nil {
		return operation.Result{}, err
	}
	return d.apply(ctx, run, e)
}

func (d delegator) change(ctx context.Context, run *operation.Run) (operation.Result, error) {
	e, err := d.editOfChange(ctx, run)
	if err != nil {
		return operation.Result{}, err
	}
	return d.apply(ctx, run, e)
}

// apply writes an edit. Repeated, it finds nothing left to write.
func (d delegator) apply(ctx context.Context, run *operation.Run, e edit) (operation.Result, error) {
	var err error
	run.Step("change") // between what was read and what is written
	switch {
	case !e.needed():
	case e.whole && len(e.after) > 0: // the page does not say what an empty list does; removing by name is documented
		err = d.client.SetSendOnBehalf(ctx, e.mailbox, e.after)
	default:
		err = d.client.ChangeSendOnBehalf(ctx, e.mailbox, e.add, e.remove)
	}
	if err != nil {
		return operation.Result{}, err
	}
	return operation.Result{Type: event.DelegationChanged, Data: event.DelegationChangedData{
		Operation: run.Operation, Mailbox: e.mailbox,
		Delegates: present(e.after), Added: present(e.add), Removed: present(e.remove), Changed: e.needed(),
	}}, nil
}

func (d delegator) planSet(ctx context.Context, run *operation.Run) (event.Plan, error) {
	return plan(d.editOfSet(ctx, run))
}

func (d delegator) planChange(ctx context.Context, run *operation.Run) (event.Plan, error) {
	return plan(d.editOfChange(ctx, run))
}

func plan(e edit, err error) (event.Plan, error) {
	p := event.Plan{Target: e.mailbox, Exists: true}
	for _, address := range e.add {
		p.Changes = append(p.Changes, event.Change{Action: "add", What: "delegate", Value: address})
	}
	for _, address := range e.remove {
		p.Changes = append(p.Changes, event.Change{Action: "remove", What: "delegate", Value: address})
	}
	return p, err
}

// delegates reads the present list of a mailbox, in which a command wants the delegates wanted and does not want the unwanted; nil where the
// vendor does not tell it. strangers are those of whom nobody can say whether they are in the list.
func (d delegator) delegates(ctx context.Context, mailbox string, wanted, unwanted []string) (list, strangers []string, err error) {
	m, err := d.client.GetMailbox(ctx, mailbox, exchangeonline.GetOptions{})
	if err != nil || m.Delegates == nil {
		return nil, unwanted, err
	}
	addresses := make([]string, len(m.Delegates))
	for i, delegate := range m.Delegates {
		addresses[i] = delegate.Address
	}
	named := unwanted // whoever is wanted and not recognised is added again, which changes nothing
	if anonymous(addresses) {
		named = slices.Concat(wanted, unwanted)
	}
	return d.recognise(ctx, addresses, named)
}

// present keeps an empty list an empty list in JSON, not null.
func present(list []string) []string { return append([]string{}, list...) }

// minus and intersection compare addresses as Exchange does, without regard to case.
func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return contains(b, s) })
}

func intersection(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !contains(b, s) })
}

func contains(list []string, address string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, address) })
}
