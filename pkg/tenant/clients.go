package tenant

import "fmt"

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

// For gives the client for a command's tenantid. Its errors are sentences for whoever published the command.
func (c *Clients[C]) For(tenantID string) (client C, err error) {
	name := tenantID
	if name == "" {
		name = c.only
	}
	if name == "" {
		return client, fmt.Errorf("is missing; it is required, since several tenants are configured")
	}
	client, ok := c.byName[name]
	if !ok {
		return client, fmt.Errorf("names no tenant that is configured for %s", c.vendor)
	}
	return client, nil
}

// Len is the number of tenants that have the vendor.
func (c *Clients[C]) Len() int { return len(c.byName) }
