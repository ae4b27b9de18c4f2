package projection

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
)

// mailboxIndex holds the delegated mailboxes that a batch of events concerns, while the events are
// applied.
type mailboxIndex struct {
	byName   map[mailboxKey]*delegatedRow // tenant and any name, in lower case
	obsolete map[mailboxKey]bool          // rows to delete, with their delegates
	renamed  map[mailboxKey]*delegatedRow // rows that have lost a name to another mailbox
}

func newMailboxIndex(known []delegatedRow) *mailboxIndex {
	b := &mailboxIndex{
		byName: map[mailboxKey]*delegatedRow{}, obsolete: map[mailboxKey]bool{}, renamed: map[mailboxKey]*delegatedRow{},
	}
	for _, m := range known {
		b.add(&m)
	}
	return b
}

func (b *mailboxIndex) add(m *delegatedRow) {
	for _, name := range m.Names {
		b.byName[mailboxKey{m.Tenant, name}] = m
	}
}

// apply enters a mailbox with a new list. An observation has the mailbox's names and replaces the
// rows that have one of them. A command has a single name: all else that is known of the mailbox is
// kept.
//
// Mailboxes with different object ids are two, also where they share a name: the latest observed
// has the name then, for commands that use it, and the other keeps its row.
//
// An observation that was read before a command set the mailbox is ignored: it shows the list from
// before the command.
func (b *mailboxIndex) apply(m delegatedRow) {
	if b.outdated(m) {
		return
	}
	for _, name := range m.Names {
		old := b.byName[mailboxKey{m.Tenant, name}]
		if old == nil {
			continue
		}
		if m.differsFrom(old) {
			b.removeName(old, name)
			continue
		}
		if m.Source == setByCommand {
			m.copyDetails(old)
		}
		m.inherit(old)
		b.obsolete[old.mailboxKey] = true
		for _, n := range old.Names {
			delete(b.byName, mailboxKey{old.Tenant, n})
		}
	}
	m.reconcile()
	b.obsolete[m.mailboxKey] = true // it may stand there from before: it is written anew
	b.add(&m)
}

// removeName takes a name from a mailbox. It has others left: its object id is one.
func (b *mailboxIndex) removeName(m *delegatedRow, name string) {
	delete(b.byName, mailboxKey{m.Tenant, name})
	m.Names = slices.DeleteFunc(slices.Clone(m.Names), func(n string) bool { return n == name })
	b.renamed[m.mailboxKey] = m
}

// differsFrom tells whether two rows are of different mailboxes for certain.
func (m *delegatedRow) differsFrom(old *delegatedRow) bool {
	return m.ObjectID != "" && old.ObjectID != "" && !strings.EqualFold(m.ObjectID, old.ObjectID)
}

// outdated tells whether a command has set the list of a mailbox since it was read.
func (b *mailboxIndex) outdated(m delegatedRow) bool {
	return m.readAt != nil && slices.ContainsFunc(m.Names, func(name string) bool {
		old := b.byName[mailboxKey{m.Tenant, name}]
		return old != nil && !m.differsFrom(old) && old.SetAt != nil && old.SetAt.After(*m.readAt)
	})
}

// copyDetails takes over what an older row knows beyond the list.
func (m *delegatedRow) copyDetails(old *delegatedRow) {
	m.mailboxKey, m.Names, m.Identity = old.mailboxKey, old.Names, old.Identity
	m.ObjectID, m.UPN, m.PrimarySMTPAddress = old.ObjectID, old.UPN, old.PrimarySMTPAddress
	m.DisplayName, m.RecipientTypeDetails, m.Selected = old.DisplayName, old.RecipientTypeDetails, old.Selected
}

// write deletes the rows that events replaced and inserts the new ones.
func (b *mailboxIndex) write(ctx context.Context, tx pgx.Tx) error {
	var tenants, keys []string
	for k := range b.obsolete {
		tenants, keys = append(tenants, k.Tenant), append(keys, k.Mailbox)
	}
	_, err := tx.Exec(ctx, `DELETE FROM delegation_mailboxes AS m USING unnest($1::text[], $2::text[]) AS o (tenant, mailbox_key)
		WHERE m.tenant = o.tenant AND m.mailbox_key = o.mailbox_key`, tenants, keys)
	if err != nil {
		return err
	}
	for key, m := range b.renamed { // where the row was deleted above, this finds none
		if _, err := tx.Exec(ctx, "UPDATE delegation_mailboxes SET names = $3 WHERE tenant = $1 AND mailbox_key = $2", key.Tenant, key.Mailbox, m.Names); err != nil {
			return err
		}
	}
	changed := map[mailboxKey]delegatedRow{}
	for _, m := range b.byName {
		if m.delegates != nil {
			changed[m.mailboxKey] = *m
		}
	}
	var mailboxes []delegatedRow
	var delegates []delegationRow
	var drifts []driftRow
	for _, m := range changed {
		mailboxes, delegates, drifts = append(mailboxes, m), append(delegates, m.rows()...), append(drifts, m.driftRows()...)
	}
	if err := delegatedMailboxes.write(mailboxes)(ctx, tx); err != nil {
		return err
	}
	if err := delegations.write(delegates)(ctx, tx); err != nil {
		return err
	}
	return delegationDrift.write(drifts)(ctx, tx)
}

// knownMailboxes reads the rows that share a name with the new ones.
func knownMailboxes(ctx context.Context, tx pgx.Tx, news []delegatedRow) ([]delegatedRow, error) {
	names := map[string][]string{} // by tenant
	for _, m := range news {
		names[m.Tenant] = append(names[m.Tenant], m.Names...)
	}
	var known []delegatedRow
	for tenant, list := range names {
		rows, err := tx.Query(ctx, `SELECT tenant, mailbox_key, names, identity, object_id, upn, primary_smtp_address, display_name,
			recipient_type_details, selected, source, operation_id, known_at, last_sequence,
			set_delegates, set_operation_id, set_at, drift_sequence, drift_at,
			(SELECT jsonb_agg(jsonb_build_object('delegate', d.delegate, 'kind', d.kind, 'since', d.since)) FROM delegation_drift d
			  WHERE d.tenant = m.tenant AND d.mailbox_key = m.mailbox_key)
			FROM delegation_mailboxes m WHERE tenant = $1 AND names && $2`, tenant, list)
		if err != nil {
			return nil, err
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m delegatedRow, err error) {
			var drifts []event.DelegateDrift
			err = row.Scan(&m.Tenant, &m.Mailbox, &m.Names, &m.Identity, &m.ObjectID, &m.UPN, &m.PrimarySMTPAddress, &m.DisplayName,
				&m.RecipientTypeDetails, &m.Selected, &m.Source, &m.OperationID, &m.KnownAt, &m.LastSequence,
				&m.SetDelegates, &m.SetOperationID, &m.SetAt, &m.DriftSequence, &m.DriftAt, &drifts)
			m.drift = driftsOf(drifts)
			return m, err
		})
		if err != nil {
			return nil, err
		}
		known = append(known, found...)
	}
	return known, nil
}
