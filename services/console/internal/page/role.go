package page

import "slices"

// Role says how much a person may do. A greater role may do all that a smaller one may.
type Role int

// Roles, from the least to the greatest.
const (
	Nobody        Role = iota // has no role: sees nothing
	Viewer                    // sees every page
	HelpDesk                  // also has what waits tried again at once
	Operator                  // also sends, cancels, replays, discards
	Administrator             // also compares and rebuilds projections
)

var roleNames = []string{"nobody", "viewer", "help desk", "operator", "administrator"}

// String names a role for people.
func (r Role) String() string { return roleNames[r] }

// Person is who looks at a page.
type Person struct {
	Name string
	Role Role
	// Tenants are those that the person is kept to; nil: every tenant.
	Tenants []string
}

// May reports whether the person has a role, or a greater one.
func (p Person) May(least Role) bool { return p.Role >= least }

// Sees reports whether the person may see a tenant. What belongs to no tenant ("") is for those who
// see every tenant.
func (p Person) Sees(tenant string) bool {
	return p.Tenants == nil || tenant != "" && slices.Contains(p.Tenants, tenant)
}
