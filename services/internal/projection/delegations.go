package projection

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Delegations keeps delegation_mailboxes and delegations: the list of each mailbox's delegates as
// it was last read or set, whichever is newer; and delegation_drift: how the last list that was
// read differs from the last that was set.
//
// A command may name a mailbox by any of its names; an observation has several of them. So each
// mailbox has a set of names, a name belongs to at most one mailbox of a tenant, and an event about
// a name is about the mailbox that has it. Two mailboxes are different for certain if their object
// ids are known and different.
type Delegations struct{}

// Name of the projection.
func (Delegations) Name() string { return "delegations" }

// Stream that it follows.
func (Delegations) Stream() string { return topology.StreamEvents }

// Subjects of operations on delegates.
func (Delegations) Subjects() []string { return []string{eventSubjects(event.DomainDelegation)} }

type mailboxKey struct {
	Tenant  string `db:"tenant"`
	Mailbox string `db:"mailbox_key"`
}

type delegatedRow struct {
	mailboxKey
	Names                []string        `db:"names"`
	Identity             string          `db:"identity,indexed"`
	ObjectID             string          `db:"object_id"`
	UPN                  string          `db:"upn"`
	PrimarySMTPAddress   string          `db:"primary_smtp_address,indexed"`
	DisplayName          string          `db:"display_name"`
	RecipientTypeDetails string          `db:"recipient_type_details"`
	Selected             json.RawMessage `db:"selected"`
	Source               string          `db:"source"`
	OperationID          string          `db:"operation_id"`
	KnownAt              time.Time       `db:"known_at"`
	LastSequence         int64           `db:"last_sequence"`
	reconciled
	// delegates are the new list; nil if the rows of the delegates do not change.
	delegates []event.Delegate
	// readAt is when an observation was read from the vendor, at the earliest; nil if that is not
	// known.
	readAt *time.Time
}

type delegationRow struct {
	mailboxKey
	Delegate     string    `db:"delegate_key,indexed"`
	Mailbox      string    `db:"mailbox,indexed"`
	Address      string    `db:"delegate,indexed"`
	DisplayName  string    `db:"display_name"`
	Source       string    `db:"source"`
	OperationID  string    `db:"operation_id"`
	KnownAt      time.Time `db:"known_at"`
	LastSequence int64     `db:"last_sequence"`
}

// Values of the column source: a list was read from the vendor, or set by a command.
const (
	observed     = "observed"
	setByCommand = "set"
)

var (
	delegatedMailboxes = table[delegatedRow]{name: "delegation_mailboxes", key: "tenant, mailbox_key"}
	delegations        = table[delegationRow]{name: "delegations", key: "tenant, mailbox_key, delegate_key"}
)

// Read returns the new lists. The rows that they replace are found when they are written.
func (Delegations) Read(records []projector.Record) (projector.Write, error) {
	events, err := results(records, event.TypeDelegationChanged, event.TypeDelegationObserved)
	if err != nil {
		return projector.Write{}, err
	}
	var changes []delegatedRow
	for _, r := range events {
		rows, err := r.delegated()
		if err != nil {
			return projector.Write{}, err
		}
		changes = append(changes, rows...)
	}
	return writeLists(changes), nil
}

// writeLists reads the mailboxes that share a name with the new lists, applies the lists in memory,
// and writes the mailboxes that changed.
func writeLists(changes []delegatedRow) (w projector.Write) {
	if len(changes) == 0 {
		return w
	}
	var index *mailboxIndex
	w.Lookup = func(ctx context.Context, tx *projector.Tx) error {
		index = newMailboxIndex()
		return index.query(ctx, tx, changes)
	}
	w.Apply = func(ctx context.Context, tx *projector.Tx) error {
		for _, m := range changes {
			index.apply(m)
		}
		return index.write(ctx, tx)
	}
	return w
}

// delegated returns the mailboxes of an event, with their new lists.
func (r result) delegated() ([]delegatedRow, error) {
	if r.event.Type() == event.TypeDelegationChanged {
		var data event.DelegationChangedData
		if err := r.into(&data); err != nil {
			return nil, err
		}
		m, err := r.mailbox(setByCommand, data.Mailbox)
		if err != nil {
			return nil, err
		}
		for _, address := range data.Delegates {
			m.delegates = append(m.delegates, event.Delegate{Address: address})
		}
		return []delegatedRow{m}, nil
	}
	var data event.DelegationObservedData
	if err := r.into(&data); err != nil {
		return nil, err
	}
	rows := make([]delegatedRow, len(data.Mailboxes))
	for i, seen := range data.Mailboxes {
		m, err := r.mailbox(observed, seen.Identity, seen.UserPrincipalName, seen.PrimarySMTPAddress, seen.ExternalDirectoryObjectID)
		if err != nil {
			return nil, err
		}
		if id := strings.TrimSpace(seen.ExternalDirectoryObjectID); id != "" {
			m.Mailbox = indexable(strings.ToLower(id))
		}
		m.ObjectID = seen.ExternalDirectoryObjectID
		m.UPN = seen.UserPrincipalName
		m.PrimarySMTPAddress = seen.PrimarySMTPAddress
		m.DisplayName = seen.DisplayName
		m.RecipientTypeDetails = seen.RecipientTypeDetails
		if len(seen.Selected) > 0 {
			raw, err := json.Marshal(seen.Selected)
			if err != nil {
				return nil, projector.Unprojectablef("selected cannot be written as JSON")
			}
			m.Selected = raw
		}
		m.delegates = append(m.delegates, seen.Delegates...)
		m.readAt = data.ReadAt
		rows[i] = m
	}
	return rows, nil
}

// mailbox returns a row without delegates for a mailbox with these names. The first name that is
// not empty is its identity.
func (r result) mailbox(source string, names ...string) (delegatedRow, error) {
	m := delegatedRow{
		Source: source, OperationID: r.operationID, KnownAt: r.StoredAt, LastSequence: r.Sequence,
		delegates: []event.Delegate{},
	}
	for _, name := range names {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		m.Identity = cmp.Or(m.Identity, name)
		if lower := indexable(strings.ToLower(name)); !slices.Contains(m.Names, lower) {
			m.Names = append(m.Names, lower)
		}
	}
	if len(m.Names) == 0 {
		return m, projector.Unprojectablef("a mailbox without a name")
	}
	m.mailboxKey = mailboxKey{r.tenant, m.Names[0]}
	return m, nil
}

// rows returns the rows of the delegates, one for each.
func (m delegatedRow) rows() []delegationRow {
	var rows []delegationRow
	for _, d := range m.delegates {
		rows = append(rows, delegationRow{
			mailboxKey: m.mailboxKey, Delegate: strings.ToLower(d.Address), Mailbox: m.Identity, Address: d.Address,
			DisplayName: d.DisplayName, Source: m.Source, OperationID: m.OperationID, KnownAt: m.KnownAt, LastSequence: m.LastSequence,
		})
	}
	return lastPerKey(rows, func(r *delegationRow) string { return r.Delegate })
}
