package tenant

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mailwright/mailwright/services/internal/livefile"
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
	byName  map[string]*livefile.File[C]
	tenants Tenants
	vendor  string
}

// lookInterval is the shortest time between two looks at the files of a tenant's vendor.
const lookInterval = time.Second

// Connect builds the client of every tenant that has the vendor; pick returns nil for one that has
// not. If a file changes that the tenant's configuration refers to, a secret or authorities, the
// client is built anew: it begins without tokens and refusals that belong to the earlier secret.
// Calls that are under way end with the earlier client.
func Connect[V, C any, S section[V]](ts Tenants, vendor string, log *slog.Logger, pick func(*Tenant) *V, connect func(*V) (C, error)) (*Clients[C], error) {
	c := &Clients[C]{byName: map[string]*livefile.File[C]{}, tenants: ts, vendor: vendor}
	for _, name := range ts.Names() {
		v := pick(ts[name])
		if v == nil {
			continue
		}
		place := fmt.Sprintf("tenants.%s.%s", name, sections[vendor])
		client, err := livefile.Open(livefile.Source[C]{
			Name: "what " + place + " refers to", Paths: S(v).references().files(), Interval: lookInterval, Log: log,
			Read: func() (client C, err error) {
				now := S(v).clone()
				if err := S(now).references().resolve(); err != nil {
					return client, err
				}
				return connect(now)
			},
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
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
	file, ok := c.byName[name]
	if !ok {
		return client, nil, fmt.Errorf("names a tenant that does not use %s: its configuration has no section %s", c.vendor, sections[c.vendor])
	}
	return file.Value(), t, nil
}

// Vendor is the name of the vendor whose clients these are.
func (c *Clients[C]) Vendor() string { return c.vendor }
