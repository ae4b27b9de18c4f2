package page

import (
	"context"
	"time"
)

// Tenants names the tenants that a person may see.
type Tenants struct {
	source Source
	kept   *Cache[[]string]
}

const tenantsLeast = 10 * time.Second

// NewTenants makes the list, which is read now and then.
func NewTenants(s Source) *Tenants { return &Tenants{s, NewCache[[]string](tenantsLeast)} }

// Names are those that have had an operation, and those that the person is kept to.
func (t *Tenants) Names(ctx context.Context, r *Request) ([]string, error) {
	if r.Person.Tenants != nil {
		return r.Person.Tenants, nil
	}
	return t.kept.Get(ctx, r, "", func(ctx context.Context) ([]string, error) {
		rows, err := Rows[struct{ Name string }](ctx, t.source, `SELECT DISTINCT tenant FROM operations_by_hour WHERE tenant <> '' ORDER BY 1 LIMIT 500`)
		var names []string
		for _, row := range rows {
			names = append(names, row.Name)
		}
		return names, err
	})
}
