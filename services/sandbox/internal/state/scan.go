package state

import (
	"math/rand/v2"
	"time"
)

// Scan lets EnPower look at the tenant: what was created, changed or deleted since the last
// scan shows from now on. It returns how many views changed.
func (w *World) Scan() (int, error) {
	changed := 0
	err := w.Update(Origin{}, func(tx *Tx) error {
		if w.Switches.On("enpower.activity") {
			tx.grow()
		}
		for guid := range w.unscanned {
			if tx.see(guid, tx.Now()) {
				changed++
			}
		}
		return nil
	})
	if err == nil {
		w.mu.Lock()
		w.forgetSeen()
		w.mu.Unlock()
	}
	return changed, err
}

// forgetSeen keeps only what still differs from its view: a mailbox may have changed since.
func (w *World) forgetSeen() {
	for guid := range w.unscanned {
		m, exists := w.mailboxes.get(guid)
		v, seen := w.views.get(guid)
		if exists == seen && (!exists || v.Mailbox.Revision == m.Revision) {
			delete(w.unscanned, guid)
		}
	}
}

// see brings one view in line with its mailbox and reports whether it had to change.
func (tx *Tx) see(guid string, now time.Time) bool {
	m, exists := tx.world.mailboxes.get(guid)
	old, seen := tx.world.views.get(guid)
	switch {
	case !exists && !seen, exists && seen && old.Mailbox.Revision == m.Revision:
		return false
	case !exists:
		remove(tx, tx.world.views, guid)
		return true
	}
	v := &View{ID: guid, Mailbox: m, FirstScan: now}
	if seen {
		v.FirstScan = old.FirstScan
	}
	if o := tx.Seed().Organization(m.Organization); o != nil {
		v.TenantID, v.TenantDomain = o.TenantID, o.TenantDomain
	}
	put(tx, tx.world.views, v)
	return true
}

// grow lets mail arrive in about every twentieth mailbox.
func (tx *Tx) grow() {
	var grown []*Mailbox
	tx.world.mailboxes.after(0, func(m *Mailbox) bool {
		if rand.IntN(20) == 0 {
			grown = append(grown, m.Clone())
		}
		return true
	})
	for _, m := range grown {
		m.Items += int64(1 + rand.IntN(9))
		m.StorageMB += int64(rand.IntN(3))
		m.Changed = tx.Now()
		tx.PutMailbox(m)
	}
}
