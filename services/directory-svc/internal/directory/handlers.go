// Package directory carries out the commands of the domain directory.
package directory

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	objects, err := tenant.Connect(d.Tenants, adaxes.Vendor, d.Log, func(t *tenant.Tenant) *tenant.Adaxes { return t.Adaxes },
		func(c *tenant.Adaxes) (objectCreator, error) {
			client, err := adaxes.New(c.Client(d.Config.HTTP()))
			return objectCreator{client: client, marker: c.MarkerAttribute}, err
		})
	if err != nil {
		return nil, err
	}
	users, err := tenant.Connect(d.Tenants, hostedexchange.Vendor, d.Log, func(t *tenant.Tenant) *tenant.HostedExchange { return t.HostedExchange },
		func(c *tenant.HostedExchange) (userCreator, error) { return newUserCreator(c, d.Config) })
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{
		event.TypeObjectCreate: worker.ForTenant(objects, worker.Handler[objectCreator]{
			Check: worker.Check(objectFaults), NotRepeatable: true, LookUp: objectCreator.lookUp, Perform: objectCreator.create, Plan: objectCreator.plan,
		}),
		event.TypeBusinessUserCreate: worker.ForTenant(users, worker.Handler[userCreator]{
			Check: worker.Check((*tenant.Tenant).CheckBusinessUser), NotRepeatable: true,
			LookUp: userCreator.lookUp, Perform: userCreator.create, Plan: userCreator.plan,
		}),
	}, nil
}

// newUserCreator connects to a Hosted Exchange, and to the directory behind it where the tenant
// gives one.
func newUserCreator(c *tenant.HostedExchange, cfg *worker.Config) (u userCreator, err error) {
	if u.client, err = hostedexchange.New(c.Client(cfg.HTTP())); err != nil || c.LDAP == nil {
		return u, err
	}
	u.directory, err = ldapdirectory.New(c.LDAP.Client(cfg.VendorTimeout))
	return u, err
}
