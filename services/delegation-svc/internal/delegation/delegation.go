// Package delegation carries out the commands of the domain delegation.
package delegation

import (
	"context"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	clients, err := tenant.Connect(d.Tenants, exchangeonline.Vendor, func(t *tenant.Tenant) *tenant.ExchangeOnline { return t.ExchangeOnline },
		func(c *tenant.ExchangeOnline) (delegator, error) {
			client, err := exchangeonline.New(c.Client(d.Config.HTTP()))
			return delegator{client}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{
		event.DelegationSet:    worker.ForTenant(clients, delegator.set),
		event.DelegationChange: worker.ForTenant(clients, delegator.change),
		event.DelegationRead:   worker.ForTenant(clients, delegator.read),
	}, nil
}

// delegator reads and changes the delegates of one tenant's mailboxes.
type delegator struct{ client *exchangeonline.Client }

// set replaces the whole list. It reads first, to report what it added and removed, and
// so that a list which is already so is not written again.
func (d delegator) set(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.DelegationSetData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	before, err := d.delegates(ctx, data.Mailbox)
	if err != nil {
		return operation.Result{}, err
	}
	add, remove := minus(data.Delegates, before), minus(before, data.Delegates)
	switch {
	case len(add)+len(remove) == 0:
	case len(data.Delegates) == 0:
		// The page does not say what an empty list does; removing by name is documented.
		err = d.client.ChangeSendOnBehalf(ctx, data.Mailbox, nil, before)
	default:
		err = d.client.SetSendOnBehalf(ctx, data.Mailbox, data.Delegates)
	}
	if err != nil {
		return operation.Result{}, err
	}
	return changed(run, data.Mailbox, data.Delegates, add, remove), nil
}

// change adds and removes. Sending what is already so would do no harm; it is left out to tell the caller so.
func (d delegator) change(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.DelegationChangeData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	if both := intersection(data.Add, data.Remove); len(both) > 0 {
		return operation.Result{}, operation.Reject("/remove", "names a delegate that add names too; each may stand in one of them")
	}
	before, err := d.delegates(ctx, data.Mailbox)
	if err != nil {
		return operation.Result{}, err
	}
	add, remove := minus(data.Add, before), intersection(data.Remove, before)
	if len(add)+len(remove) > 0 {
		if err := d.client.ChangeSendOnBehalf(ctx, data.Mailbox, add, remove); err != nil {
			return operation.Result{}, err
		}
	}
	return changed(run, data.Mailbox, slices.Concat(minus(before, remove), add), add, remove), nil
}

// delegates reads the present list of a mailbox.
func (d delegator) delegates(ctx context.Context, mailbox string) ([]string, error) {
	m, err := d.client.GetMailbox(ctx, mailbox, exchangeonline.GetOptions{})
	if err != nil {
		return nil, err
	}
	addresses := make([]string, len(m.Delegates))
	for i, delegate := range m.Delegates {
		addresses[i] = delegate.Address
	}
	return addresses, nil
}

func changed(run *operation.Run, mailbox string, after, added, removed []string) operation.Result {
	return operation.Result{Type: event.DelegationChanged, Data: event.DelegationChangedData{
		Operation: run.Operation, Mailbox: mailbox,
		Delegates: present(after), Added: present(added), Removed: present(removed), Changed: len(added)+len(removed) > 0,
	}}
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
