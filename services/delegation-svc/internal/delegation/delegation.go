// Package delegation carries out the commands of the domain delegation: it reads and changes who
// may send on behalf of a mailbox, and who has which rights on its folders, through the Exchange
// Online Admin API.
package delegation

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// Handlers returns the handlers of this domain, by command type. The error is about a tenant whose
// configuration is incomplete.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	clients, err := tenant.Connect(d.Tenants, exchangeonline.Vendor, d.Log,
		func(t *tenant.Tenant) *tenant.ExchangeOnline { return t.ExchangeOnline },
		func(c *tenant.ExchangeOnline) (delegator, error) {
			cfg := c.Client(d.Config.HTTP())
			cfg.PageTimeout = worker.PageTimeout
			client, err := exchangeonline.New(cfg)
			return delegator{client}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{
		event.TypeDelegationSet: worker.ForTenant(clients, worker.Handler[delegator]{
			Perform: delegator.set, Plan: delegator.planSet, ReadBack: readBack,
		}),
		event.TypeDelegationChange: worker.ForTenant(clients, worker.Handler[delegator]{
			Perform: delegator.change, Plan: delegator.planChange, ReadBack: readBack,
		}),
		event.TypeDelegationRead: worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.read}),
		event.TypeFolderGrant: worker.ForTenant(clients, worker.Handler[delegator]{
			Perform: delegator.grant, Plan: delegator.planGrant, ReadBack: readBackFolder,
		}),
		event.TypeFolderRevoke: worker.ForTenant(clients, worker.Handler[delegator]{
			Perform: delegator.revoke, Plan: delegator.planRevoke, ReadBack: readBackFolder,
		}),
		event.TypeFolderRead: worker.ForTenant(clients, worker.Handler[delegator]{Perform: delegator.readFolder}),
	}, nil
}

// delegator reads and changes the delegates of one tenant's mailboxes.
type delegator struct{ client *exchangeonline.Client }
