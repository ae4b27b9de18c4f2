package state

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// Tx is one look at the world, or one change of it. It must not leave its callback.
type Tx struct {
	world    *World
	changes  []change
	undos    []func()
	settings bool
}

// Now is the sandbox's clock, in UTC.
func (tx *Tx) Now() time.Time { return tx.world.now() }

// Seed is the present seed.
func (tx *Tx) Seed() *seed.Seed { return tx.world.seed }

// Switches are the present settings.
func (tx *Tx) Switches() *switches.Values { return tx.world.Switches }

func (tx *Tx) undo() {
	for _, undo := range slices.Backward(tx.undos) {
		undo()
	}
}

func put[R row](tx *Tx, t *table[R], r R) {
	old, existed := t.get(r.key())
	t.put(r)
	tx.undos = append(tx.undos, func() {
		if existed {
			t.put(old)
		} else {
			t.delete(r.key())
		}
	})
	tx.changes = append(tx.changes, change{Table: t.name, Key: r.key(), Value: r})
}

func remove[R row](tx *Tx, t *table[R], key string) {
	old, existed := t.get(key)
	if !existed {
		return
	}
	t.delete(key)
	tx.undos = append(tx.undos, func() { t.put(old) })
	tx.changes = append(tx.changes, change{Table: t.name, Key: key})
}

func (tx *Tx) putSetting(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	tx.settings = true
	put(tx, tx.world.settings, &Setting{Name: name, Value: text})
	return nil
}

func first[R row](found []R) R {
	var none R
	if len(found) == 0 {
		return none
	}
	return found[0]
}

// Objects.

// PutObject adds or replaces an object.
func (tx *Tx) PutObject(o *Object) { put(tx, tx.world.objects, o) }

// DeleteObject takes an object away.
func (tx *Tx) DeleteObject(guid string) { remove(tx, tx.world.objects, guid) }

// Object finds an object by DN, GUID or SID; nil where there is none.
func (tx *Tx) Object(id string) *Object {
	at := tx.world.objects.indexes[0].at
	switch {
	case strings.Contains(id, "="):
		return first(at["dn:"+directory.Fold(id)])
	case len(id) > 2 && strings.EqualFold(id[:2], "S-"):
		return first(at["sid:"+strings.ToLower(id)])
	}
	o, _ := tx.world.objects.get(strings.ToLower(id))
	return o
}

// ObjectBySAM finds an object by its sAMAccountName within a domain.
func (tx *Tx) ObjectBySAM(domain, name string) *Object {
	return first(tx.world.objects.indexes[0].at["sam:"+domain+"/"+strings.ToLower(name)])
}

// ObjectByUPN finds an object by its userPrincipalName, in any domain.
func (tx *Tx) ObjectByUPN(upn string) *Object {
	return first(tx.world.objects.indexes[0].at["upn:"+strings.ToLower(upn)])
}

// ObjectByNickname finds an object by its mailNickname within a domain.
func (tx *Tx) ObjectByNickname(domain, nick string) *Object {
	return first(tx.world.objects.indexes[0].at["nick:"+domain+"/"+strings.ToLower(nick)])
}

// HasChildren reports whether there are objects directly within a container.
func (tx *Tx) HasChildren(dn string) bool {
	return tx.world.objects.tally.count[directory.Fold(dn)] > 0
}

// EachObject walks the objects in order of creation until visit says false.
func (tx *Tx) EachObject(visit func(*Object) bool) { tx.world.objects.after(0, visit) }

// EachObjectWith walks the objects whose property, an indexed one, has a value, whatever its case.
func (tx *Tx) EachObjectWith(name, value string, visit func(*Object) bool) {
	for _, o := range tx.world.objects.indexes[1].at[name+"="+strings.ToLower(value)] {
		if !visit(o) {
			return
		}
	}
}

// Mailboxes.

// PutMailbox adds or replaces a mailbox.
func (tx *Tx) PutMailbox(m *Mailbox) {
	m.Revision++
	put(tx, tx.world.mailboxes, m)
}

// DeleteMailbox takes a mailbox away.
func (tx *Tx) DeleteMailbox(guid string) { remove(tx, tx.world.mailboxes, guid) }

// Mailbox finds a mailbox by its GUID; nil where there is none.
func (tx *Tx) Mailbox(guid string) *Mailbox {
	m, _ := tx.world.mailboxes.get(guid)
	return m
}

// MailboxOf finds the mailbox of a directory object.
func (tx *Tx) MailboxOf(object string) *Mailbox {
	return first(tx.world.mailboxes.indexes[0].at["object:"+object])
}

// MailboxByAlias finds a mailbox by its alias within an organisation.
func (tx *Tx) MailboxByAlias(organization, alias string) *Mailbox {
	return first(tx.world.mailboxes.indexes[0].at["alias:"+organization+"/"+strings.ToLower(alias)])
}

// FindMailboxes resolves an identity as Exchange does: name, DN, alias, UPN, GUID or address.
func (tx *Tx) FindMailboxes(identity string) []*Mailbox {
	at := tx.world.mailboxes.indexes[0].at
	if strings.Contains(identity, "=") {
		if found := at["id:"+directory.Fold(identity)]; len(found) > 0 {
			return found
		}
	}
	return at["id:"+strings.ToLower(identity)]
}

// MailboxesIn counts the mailboxes of a database.
func (tx *Tx) MailboxesIn(database string) int {
	return tx.world.mailboxes.tally.count[database]
}

// MailboxesAfter walks the mailboxes created after the one numbered seq.
func (tx *Tx) MailboxesAfter(seq uint64, visit func(*Mailbox) bool) {
	tx.world.mailboxes.after(seq, visit)
}

// Recipient is a mailbox or a group, which can be a delegate.
type Recipient struct {
	GUID, Name, DisplayName, Address string
}

// FindRecipients resolves an identity among mailboxes and groups.
func (tx *Tx) FindRecipients(identity string) []Recipient {
	var found []Recipient
	for _, m := range tx.FindMailboxes(identity) {
		found = append(found, Recipient{m.GUID, m.Name, m.DisplayName, m.Primary})
	}
	for _, g := range tx.world.groups.indexes[0].at["id:"+strings.ToLower(identity)] {
		found = append(found, Recipient{g.GUID, g.Name, g.Name, g.Address})
	}
	return found
}

// RecipientByGUID finds who a stored delegate is; ok is false where they are gone.
func (tx *Tx) RecipientByGUID(guid string) (Recipient, bool) {
	if m := tx.Mailbox(guid); m != nil {
		return Recipient{m.GUID, m.Name, m.DisplayName, m.Primary}, true
	}
	if g, ok := tx.world.groups.get(guid); ok {
		return Recipient{g.GUID, g.Name, g.Name, g.Address}, true
	}
	return Recipient{}, false
}

// Group finds a distribution group by name, address or GUID.
func (tx *Tx) Group(identity string) *Group {
	return first(tx.world.groups.indexes[0].at["id:"+strings.ToLower(identity)])
}

// Mail stores.

// Stores are the mail stores where an organisation owns space.
func (tx *Tx) Stores(organization string) []*Store {
	var owned []*Store
	tx.world.stores.after(0, func(s *Store) bool {
		if s.Organization == organization {
			owned = append(owned, s)
		}
		return true
	})
	return owned
}

// PutStore replaces a store.
func (tx *Tx) PutStore(s *Store) { put(tx, tx.world.stores, s) }

// Bill records a billable act.
func (tx *Tx) Bill(event, path, plan string) {
	put(tx, tx.world.billing, &BillingEvent{ID: NewGUID(), Event: event, Path: path, Plan: plan, At: tx.Now()})
}

// EachBillingEvent walks the billing events in order.
func (tx *Tx) EachBillingEvent(visit func(*BillingEvent) bool) { tx.world.billing.after(0, visit) }

// Views, tokens, approvals.

// ViewsAfter walks EnPower's views first seen after the one numbered seq.
func (tx *Tx) ViewsAfter(seq uint64, visit func(*View) bool) { tx.world.views.after(seq, visit) }

// PutToken remembers an issued token and forgets those that have long expired.
func (tx *Tx) PutToken(t *Token) {
	var stale []string
	tx.world.tokens.after(0, func(old *Token) bool {
		if old.Expires.After(tx.Now().Add(-time.Hour)) {
			return false // issued in order, so what follows is hardly older
		}
		stale = append(stale, old.Hash)
		return len(stale) < 100
	})
	for _, hash := range stale {
		remove(tx, tx.world.tokens, hash)
	}
	put(tx, tx.world.tokens, t)
}

// Token finds an issued token by its hash.
func (tx *Tx) Token(hash string) *Token {
	t, _ := tx.world.tokens.get(hash)
	return t
}

// DeleteToken revokes a token and those that came from it.
func (tx *Tx) DeleteToken(hash string) {
	var children []string
	tx.world.tokens.after(0, func(t *Token) bool {
		if t.Parent == hash {
			children = append(children, t.Hash)
		}
		return true
	})
	for _, child := range append(children, hash) {
		remove(tx, tx.world.tokens, child)
	}
}

// DeleteTokens revokes every token and returns how many there were.
func (tx *Tx) DeleteTokens() int {
	hashes := make([]string, 0, len(tx.world.tokens.rows))
	for hash := range tx.world.tokens.rows {
		hashes = append(hashes, hash)
	}
	for _, hash := range hashes {
		remove(tx, tx.world.tokens, hash)
	}
	return len(hashes)
}

// PutApproval adds or replaces a request that waits for a decision.
func (tx *Tx) PutApproval(a *Approval) { put(tx, tx.world.approvals, a) }

// Approvals are the requests for approval, oldest first.
func (tx *Tx) Approvals() []*Approval {
	var all []*Approval
	tx.world.approvals.after(0, func(a *Approval) bool {
		all = append(all, a)
		return true
	})
	return all
}

// Counts says how many rows each table has.
func (tx *Tx) Counts() map[string]int {
	w := tx.world
	return map[string]int{
		"objects": len(w.objects.rows), "mailboxes": len(w.mailboxes.rows), "groups": len(w.groups.rows),
		"views": len(w.views.rows), "approvals": len(w.approvals.rows), "billing": len(w.billing.rows),
	}
}

// DefaultDomain is the organisation's own mail domain.
func (tx *Tx) DefaultDomain(organization string) string {
	if o := tx.Seed().Organization(organization); o != nil && len(o.Domains) > 0 {
		return o.Domains[0]
	}
	return cmp.Or(organization, "invalid")
}

// EachGroup walks the distribution groups in order.
func (tx *Tx) EachGroup(visit func(*Group) bool) { tx.world.groups.after(0, visit) }
