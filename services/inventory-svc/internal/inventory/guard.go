package inventory

import "github.com/mailwright/mailwright/services/internal/tenant"

// guard decides whether mailboxes that a walk did not meet are reported missing.
type guard struct {
	share float64
	floor int
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

// maxShare: above this share of missed mailboxes a sync is suspect, whatever the floor allows.
const maxShare = 0.5

// suspects reports whether a walk missed too many mailboxes to be believed:
//   - more than the configured share and more than the floor, which lets a small tenant lose some;
//   - more than half, unless a higher share is configured;
//   - all, where it met none at all.
func (g guard) suspects(known, absent, seen int) bool {
	missed := func(share float64) bool { return float64(absent) > share*float64(known) }
	return absent > 0 && seen == 0 || absent > g.floor && missed(g.share) || missed(max(g.share, maxShare))
}
