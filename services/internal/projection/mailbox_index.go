package projection

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// mailboxIndex holds the mailboxes that share a name with the mailboxes in a batch of events, while
// the events are applied.
type mailboxIndex struct {
	byName   map[mailboxKey]*delegatedRow // by tenant and any name in lower case
	stored   map[mailboxKey]bool          // rows that the table has, by their key
	obsolete map[mailboxKey]bool          // rows to delete, with their delegates
	renamed  map[mailboxKey]*delegatedRow // rows that have lost a name to another mailbox
}

func newMailboxIndex() *mailboxIndex {
	return &mailboxIndex{
		byName: map[mailboxKey]*delegatedRow{}, stored: map[mailboxKey]bool{},
		obsolete: map[mailboxKey]bool{}, renamed: map[mailboxKey]*delegatedRow{},
	}
}

func (x *mailboxIndex) add(m *delegatedRow) {
	for _, name := range m.Names {
		x.byName[mailboxKey{m.Tenant, name}] = m
	}
}

// apply adds a mailbox with a new list. An observation replaces the rows that have one of its
// names. A command knows one name of the mailbox, so all other columns of the row are kept.
//
// Mailboxes with different object ids are different, even if they share a name. Then the one that
// was observed last gets the name, for commands that use it, and the other keeps its row.
//
// An observation that was read before a command set the list is ignored: it shows the list from
// before the command.
func (x *mailboxIndex) apply(m delegatedRow) {
	if x.outdated(m) {
		return
	}
	for _, name := range m.Names {
		old := x.byName[mailboxKey{m.Tenant, name}]
		if old == nil {
			continue
		}
		if m.differsFrom(old) {
			x.removeName(old, name)
			continue
		}
		if m.Source == setByCommand {
			m.copyDetails(old)
		}
		m.inherit(old)
		x.obsolete[old.mailboxKey] = x.stored[old.mailboxKey]
		for _, n := range old.Names {
			delete(x.byName, mailboxKey{old.Tenant, n})
		}
	}
	m.reconcile()
	x.add(&m)
}

// removeName takes a name away from a mailbox. It always has another: its object id.
func (x *mailboxIndex) removeName(m *delegatedRow, name string) {
	delete(x.byName, mailboxKey{m.Tenant, name})
	m.Names = slices.DeleteFunc(slices.Clone(m.Names), func(n string) bool { return n == name })
	x.renamed[m.mailboxKey] = m
}

// differsFrom reports whether two rows are different mailboxes for certain.
func (m *delegatedRow) differsFrom(old *delegatedRow) bool {
	return m.ObjectID != "" && old.ObjectID != "" && !strings.EqualFold(m.ObjectID, old.ObjectID)
}

// outdated reports whether a command has set the list of the mailbox since the observation was
// read.
func (x *mailboxIndex) outdated(m delegatedRow) bool {
	return m.readAt != nil && slices.ContainsFunc(m.Names, func(name string) bool {
		old := x.byName[mailboxKey{m.Tenant, name}]
		return old != nil && !m.differsFrom(old) && old.SetAt != nil && old.SetAt.After(*m.readAt)
	})
}

// copyDetails takes over all columns of an older row that a command does not know.
func (m *delegatedRow) copyDetails(old *delegatedRow) {
	m.mailboxKey = old.mailboxKey
	m.Names = old.Names
	m.Identity = old.Identity
	m.ObjectID = old.ObjectID
	m.UPN = old.UPN
	m.PrimarySMTPAddress = old.PrimarySMTPAddress
	m.DisplayName = old.DisplayName
	m.RecipientTypeDetails = old.RecipientTypeDetails
	m.Selected = old.Selected
}

// write queues the deletion of the replaced rows and the insertion of the new ones. The key of a
// row is one of its names, so that a row which is written again has been found by them.
func (x *mailboxIndex) write(ctx context.Context, tx *projector.Tx) error {
	var tenants, keys []string
	for k, stored := range x.obsolete {
		if stored {
			tenants, keys = append(tenants, k.Tenant), append(keys, k.Mailbox)
		}
	}
	for _, table := range []string{"delegations", "delegation_drift", "delegation_mailboxes"} {
		if len(keys) == 0 {
			break
		}
		err := tx.Exec(ctx, "DELETE FROM "+table+` AS m USING unnest($1::text[], $2::text[]) AS o (tenant, mailbox_key)
			WHERE m.tenant = o.tenant AND m.mailbox_key = o.mailbox_key`, tenants, keys)
		if err != nil {
			return err
		}
	}
	for key, m := range x.renamed { // updates nothing if the row was deleted above
		const setNames = "UPDATE delegation_mailboxes SET names = $3 WHERE tenant = $1 AND mailbox_key = $2"
		if err := tx.Exec(ctx, setNames, key.Tenant, key.Mailbox, m.Names); err != nil {
			return err
		}
	}
	changed := map[mailboxKey]delegatedRow{}
	for _, m := range x.byName {
		if m.delegates != nil {
			changed[m.mailboxKey] = *m
		}
	}
	var mailboxes []delegatedRow
	var delegates []delegationRow
	var drifts []driftRow
	for _, m := range changed {
		mailboxes = append(mailboxes, m)
		delegates = append(delegates, m.rows()...)
		drifts = append(drifts, m.driftRows()...)
	}
	all := projector.InOrder(delegatedMailboxes.write(mailboxes), delegations.write(delegates), delegationDrift.write(drifts))
	if all.Apply == nil {
		return nil
	}
	return all.Apply(ctx, tx)
}

// query queues the queries for the rows that share a name with the changed mailboxes.
func (x *mailboxIndex) query(ctx context.Context, tx *projector.Tx, changed []delegatedRow) error {
	names := map[string][]string{} // by tenant
	for _, m := range changed {
		names[m.Tenant] = append(names[m.Tenant], m.Names...)
	}
	// OFFSET 0 keeps the tenant out of the search by name. Else the planner may take the primary
	// key and read all mailboxes of the tenant.
	const sharingName = `SELECT tenant, mailbox_key, names, identity, object_id, upn, primary_smtp_address, display_name,
		recipient_type_details, selected, source, operation_id, known_at, last_sequence,
		set_delegates, set_operation_id, set_at, drift_sequence, drift_at,
		(SELECT jsonb_agg(jsonb_build_object('delegate', d.delegate, 'kind', d.kind, 'since', d.since)) FROM delegation_drift d
		  WHERE d.tenant = m.tenant AND d.mailbox_key = m.mailbox_key)
		FROM (SELECT * FROM delegation_mailboxes WHERE names && $2 OFFSET 0) m WHERE tenant = $1`
	for tenant, list := range names {
		if err := tx.Query(ctx, sharingName, x.addStored, tenant, list); err != nil {
			return err
		}
	}
	return nil
}

// addStored adds rows of the table.
func (x *mailboxIndex) addStored(rows pgx.Rows) error {
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m delegatedRow, err error) {
		var drifts []event.DelegateDrift
		err = row.Scan(&m.Tenant, &m.Mailbox, &m.Names, &m.Identity, &m.ObjectID, &m.UPN, &m.PrimarySMTPAddress, &m.DisplayName,
			&m.RecipientTypeDetails, &m.Selected, &m.Source, &m.OperationID, &m.KnownAt, &m.LastSequence,
			&m.SetDelegates, &m.SetOperationID, &m.SetAt, &m.DriftSequence, &m.DriftAt, &drifts)
		m.drift = driftsOf(drifts)
		return m, err
	})
	for i := range found {
		x.stored[found[i].mailboxKey] = true
		x.add(&found[i])
	}
	return err
}
