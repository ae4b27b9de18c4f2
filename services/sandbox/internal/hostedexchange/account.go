package hostedexchange

import (
	"cmp"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// accountSeed is steps 1 to 3 of the page's algorithm: illegal characters removed, '@' replaced
// by '_', at most 20 characters, and no '.' at the end.
func accountSeed(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`"/\[]:|<>+=;?,*`, r):
			return -1
		case r == '@':
			return '_'
		}
		return r
	}, name)
	name = cut(name, 20)
	if strings.HasSuffix(name, ".") {
		name = name[:len(name)-1] + "_"
	}
	return name
}

// trialNames are steps 4 and 5: the seed itself, three with 3 random digits, two with 5.
func (a *API) trialNames(seedName string) []string {
	trials := []string{seedName}
	for range 3 {
		trials = append(trials, cut(seedName, 17)+a.digits(3))
	}
	for range 2 {
		trials = append(trials, cut(seedName, 15)+a.digits(5))
	}
	return trials
}

// freeName is the first trial name that is not taken; "" where all are.
func (a *API) freeName(tx *state.Tx, domain, seedName string) string {
	for _, trial := range a.trialNames(seedName) {
		if trial != "" && tx.ObjectBySAM(domain, trial) == nil {
			return trial
		}
	}
	return ""
}

func cut(text string, n int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), n)])
}

// chooseStore allocates a mailbox's space on a store where the organisation owns enough.
// tightPack fills the fullest store that still has room, level takes the emptiest.
func chooseStore(tx *state.Tx, organization string, sizeKB int64, algorithm, server, name string) *state.Store {
	fitting := slices.DeleteFunc(tx.Stores(organization), func(s *state.Store) bool {
		return s.FreeKB() < sizeKB || server != "" && (!strings.EqualFold(s.Server, server) || !strings.EqualFold(s.Name, name))
	})
	if len(fitting) == 0 {
		return nil
	}
	byFree := func(x, y *state.Store) int { return cmp.Compare(x.FreeKB(), y.FreeKB()) }
	if algorithm == "level" {
		return slices.MaxFunc(fitting, byFree)
	}
	return slices.MinFunc(fitting, byFree)
}

// organizationOf finds the customer whose container a DN lies in.
func organizationOf(s *seed.Seed, within func(container string) bool) *seed.HostedOrganization {
	for i := range s.Hosted.Organizations {
		if within(s.Hosted.Organizations[i].Container) {
			return &s.Hosted.Organizations[i]
		}
	}
	return nil
}

func planOf(s *seed.Seed, name string) *seed.Plan {
	for i := range s.Hosted.Plans {
		if s.Hosted.Plans[i].Name == name {
			return &s.Hosted.Plans[i]
		}
	}
	return nil
}
