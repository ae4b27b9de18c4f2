package projection

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// book is what is known of delegated mailboxes while a batch of events is worked out.
type book struct {
	byName   map[mailboxKey]*delegatedRow // tenant and any name, in lower case
	obsolete map[mailboxKey]bool          // rows to delete, with their delegates
}

func newBook(known []delegatedRow) *book {
	b := &book{byName: map[mailboxKey]*delegatedRow{}, obsolete: map[mailboxKey]bool{}}
	for _, m := range known {
		b.enter(&m)
	}
	return b
}

func (b *book) enter(m *delegatedRow) {
	for _, name := range m.Names {
		b.byName[mailboxKey{m.Tenant, name}] = m
	}
}

// learn takes in a mailbox with a new list. An observation knows the mailbox's names, and takes the place
// of whatever had one of them. A command knows a single name: the mailbox keeps all else that is known.
func (b *book) learn(m delegatedRow) {
	for _, name := range m.Names {
		old := b.byName[mailboxKey{m.Tenant, name}]
		if old == nil {
			continue
		}
		if m.Source == set {
			m.keep(old)
		}
		b.obsolete[old.mailboxKey] = true
		for _, n := range old.Names {
			delete(b.byName, mailboxKey{old.Tenant, n})
		}
	}
	b.obsolete[m.mailboxKey] = true // it may stand there from before: it is written anew
	b.enter(&m)
}

// keep takes over what an older row knows beyond the list.
func (m *delegatedRow) keep(old *delegatedRow) {
	m.mailboxKey, m.Names, m.Identity = old.mailboxKey, old.Names, old.Identity
	m.ObjectID, m.UPN, m.PrimarySMTPAddress = old.ObjectID, old.UPN, old.PrimarySMTPAddress
	m.DisplayName, m.RecipientTypeDetails, m.Selected = old.DisplayName, old.RecipientTypeDetails, old.Selected
}

// write deletes the rows that events replaced and inserts the new ones.
func (b *book) write(ctx context.Context, tx pgx.Tx) error {
	var tenants, keys []string
	for k := range b.obsolete {
		tenants, keys = append(tenants, k.Tenant), append(keys, k.Mailbox)
	}
	_, err := tx.Exec(ctx, `DELETE FROM mailwright.delegation_mailboxes AS m USING unnest($1::text[], $2::text[]) AS o (tenant, mailbox_key)
		WHERE m.tenant = o.tenant AND m.mailbox_key = o.mailbox_key`, tenants, keys)
	if err != nil {
		return err
	}
	changed := map[mailboxKey]delegatedRow{}
	for _, m := range b.byName {
		if m.delegates != nil {
			changed[m.mailboxKey] = *m
		}
	}
	var mailboxes []delegatedRow
	var delegates []delegationRow
	for _, m := range changed {
		mailboxes, delegates = append(mailboxes, m), append(delegates, m.rows()...)
	}
	if err := delegatedMailboxes.write(ctx, tx, mailboxes); err != nil {
		return err
	}
	return delegations.write(ctx, tx, delegates)
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
			recipient_type_details, selected, source, operation_id, known_at, last_sequence
			FROM mailwright.delegation_mailboxes WHERE tenant = $1 AND names && $2`, tenant, list)
		if err != nil {
			return nil, err
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m delegatedRow, err error) {
			err = row.Scan(&m.Tenant, &m.Mailbox, &m.Names, &m.Identity, &m.ObjectID, &m.UPN, &m.PrimarySMTPAddress, &m.DisplayName,
				&m.RecipientTypeDetails, &m.Selected, &m.Source, &m.OperationID, &m.KnownAt, &m.LastSequence)
			return m, err
		})
		if err != nil {
			return nil, err
		}
		known = append(known, found...)
	}
	return known, nil
}
