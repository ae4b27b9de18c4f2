package tenant

import (
	"errors"
	"fmt"

	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
)

// sections are the names that the vendors have in the configuration.
var sections = map[string]string{
	adaxes.Vendor: "adaxes", exchangeonline.Vendor: "exchangeOnline", hostedexchange.Vendor: "hostedExchange", enpower.Vendor: "enpower",
}

// Clients holds one vendor client a tenant.
type Clients[C any] struct {
	byName  map[string]C
	tenants Tenants
	vendor  string
}

// Connect builds the client of every tenant that has the vendor; pick returns nil for one that has
// not.
func Connect[V, C any](ts Tenants, vendor string, pick func(*Tenant) *V, connect func(*V) (C, error)) (*Clients[C], error) {
	c := &Clients[C]{byName: map[string]C{}, tenants: ts, vendor: vendor}
	for _, name := range ts.Names() {
		v := pick(ts[name])
		if v == nil {
			continue
		}
		client, err := connect(v)
		if err != nil {
			return nil, fmt.Errorf("tenants.%s.%s: %w", name, sections[vendor], err)
		}
		c.byName[name] = client
	}
	return c, nil
}

// For returns a tenant's client and its configuration. The error completes a sentence about the
// field tenantid, for the command's publisher: no tenant is given, the configuration has none of
// that name, or the tenant does not use the vendor.
func (c *Clients[C]) For(name string) (client C, t *Tenant, err error) {
	if name == "" {
		return client, nil, errors.New("is missing; name the tenant")
	}
	t, known := c.tenants[name]
	if !known {
		return client, nil, errors.New("names no tenant that is configured (section tenants)")
	}
	client, ok := c.byName[name]
	if !ok {
		return client, nil, fmt.Errorf("names a tenant that does not use %s: its configuration has no section %s", c.vendor, sections[c.vendor])
	}
	return client, t, nil
}

// Vendor is the name of the vendor whose clients these are.
func (c *Clients[C]) Vendor() string { return c.vendor }
