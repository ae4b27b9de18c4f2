package projection

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Delegations keeps delegation_mailboxes and delegations: the whole list of each mailbox that was
// read or set last, whichever came later; and delegation_drift: how what was read differs from what
// was set.
//
// A command may call a mailbox by any of its names; an observation tells several of them at once.
// So each mailbox has a set of names, no name belongs to two mailboxes of a tenant, and an event
// about a name is about the mailbox that has it. What tells mailboxes apart is the object id, where
// it is known.
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
	// delegates are the new list; nil: the rows of this mailbox stay as they are.
	delegates []event.Delegate
	// readAt is when an observation was read, at the earliest; nil: not known.
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

// Where a mailbox's list comes from.
const (
	observed     = "observed"
	setByCommand = "set"
)

var (
	delegatedMailboxes = table[delegatedRow]{name: "delegation_mailboxes", key: "tenant, mailbox_key"}
	delegations        = table[delegationRow]{name: "delegations", key: "tenant, mailbox_key, delegate_key"}
)

// Read makes the new lists; which rows they mean is worked out when they are written.
func (Delegations) Read(records []projector.Record) (projector.Write, error) {
	events, err := results(records, event.TypeDelegationChanged, event.TypeDelegationObserved)
	if err != nil {
		return nil, err
	}
	var news []delegatedRow
	for _, r := range events {
		rows, err := r.delegated()
		if err != nil {
			return nil, err
		}
		news = append(news, rows...)
	}
	return func(ctx context.Context, tx pgx.Tx) error { return applyAll(ctx, tx, news) }, nil
}

// applyAll reads the mailboxes that the events may mean, applies the events in memory, and writes
// back the mailboxes that changed.
func applyAll(ctx context.Context, tx pgx.Tx, news []delegatedRow) error {
	if len(news) == 0 {
		return nil
	}
	known, err := knownMailboxes(ctx, tx, news)
	if err != nil {
		return err
	}
	index := newMailboxIndex(known)
	for _, m := range news {
		index.apply(m)
	}
	return index.write(ctx, tx)
}

// delegated gives the mailboxes that an event tells of, with their new lists.
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
		m.ObjectID, m.UPN, m.PrimarySMTPAddress = seen.ExternalDirectoryObjectID, seen.UserPrincipalName, seen.PrimarySMTPAddress
		m.DisplayName, m.RecipientTypeDetails = seen.DisplayName, seen.RecipientTypeDetails
		if len(seen.Selected) > 0 {
			raw, err := json.Marshal(seen.Selected)
			if err != nil {
				return nil, projector.Unprojectablef("selected can not be written as JSON")
			}
			m.Selected = raw
		}
		m.delegates, m.readAt = append(m.delegates, seen.Delegates...), data.ReadAt
		rows[i] = m
	}
	return rows, nil
}

// mailbox starts a row for a mailbox of these names, the first of which is its identity.
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

// rows gives the delegates' rows, each delegate once.
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
