package inventory

import "github.com/mailwright/mailwright/services/internal/tenant"

// guard decides whether a walk that did not find known mailboxes is believed. If it is not, the
// sync is suspect, and reports none of them missing.
type guard struct {
	share float64 // of the known mailboxes, from 0 to 1
	floor int     // number of mailboxes that may be missing whatever their share is
}

// Defaults of the guard.
const (
	defaultShare = 0.2
	defaultFloor = 10
)

func guardOf(c *tenant.EnPower) guard {
	g := guard{share: defaultShare, floor: defaultFloor}
	if c.MissingShare != nil {
		g.share = *c.MissingShare
	}
	if c.MissingFloor != nil {
		g.floor = *c.MissingFloor
	}
	return g
}

// maxShare is the share of missing mailboxes above which a sync is suspect, whatever the floor is.
const maxShare = 0.5

// suspects reports whether too many of the known mailboxes are absent from the vendor's list:
//   - more than the configured share and more than the floor, which lets a small tenant lose some;
//   - more than half, unless a higher share is configured;
//   - all of them, if the list is empty.
func (g guard) suspects(known, absent, seen int) bool {
	missed := func(share float64) bool { return float64(absent) > share*float64(known) }
	return absent > 0 && seen == 0 || absent > g.floor && missed(g.share) || missed(max(g.share, maxShare))
}
