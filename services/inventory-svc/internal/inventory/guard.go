package inventory

import "github.com/mailwright/mailwright/pkg/tenant"

// guard decides whether a walk is to be believed that did not meet mailboxes which were there before.
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

// most is the share above which no floor speaks for a walk.
const most = 0.5

// suspects a walk that missed more than the share, and more than the floor, which lets a small tenant lose some; one that missed more than
// half; and one that met nothing at all. A share that is configured higher than half is what the operator wants.
func (g guard) suspects(known, absent, seen int) bool {
	missed := func(share float64) bool { return float64(absent) > share*float64(known) }
	return absent > 0 && seen == 0 || absent > g.floor && missed(g.share) || missed(max(g.share, most))
}
