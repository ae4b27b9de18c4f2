package tenant

import (
	"cmp"
	"errors"
	"fmt"
)

// Clients holds one vendor client a tenant.
type Clients[C any] struct {
	byName map[string]C
	only   string // the tenant that a command without tenantid means; "" if there are several
	vendor string
}

// Connect builds the client of every tenant that has the vendor; pick returns nil for one that has not.
func Connect[V, C any](ts Tenants, vendor string, pick func(*Tenant) *V, connect func(*V) (C, error)) (*Clients[C], error) {
	c := &Clients[C]{byName: map[string]C{}, vendor: vendor}
	for _, name := range ts.Names() {
		v := pick(ts[name])
		if v == nil {
			continue
		}
		client, err := connect(v)
		if err != nil {
			return nil, fmt.Errorf("tenants.%s.%s: %w", name, vendor, err)
		}
		c.byName[name] = client
	}
	if len(ts) == 1 {
		c.only = ts.Names()[0]
	}
	return c, nil
}

// For gives the client that a command's tenantid means, and the tenant's name. Its errors are the problem with the field, for
// whoever published the command.
func (c *Clients[C]) For(tenantID string) (client C, name string, err error) {
	name = cmp.Or(tenantID, c.only)
	if name == "" {
		return client, "", errors.New("is missing; it is required, since several tenants are configured")
	}
	client, ok := c.byName[name]
	if !ok {
		return client, "", fmt.Errorf("names no tenant that is configured for %s", c.vendor)
	}
	return client, name, nil
}

// Vendor is the name of the vendor whose clients these are.
func (c *Clients[C]) Vendor() string { return c.vendor }
