package projection

import (
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// driftRow is a row of delegation_drift: a delegate whom the last command left and the last
// observation does not have, or the other way round.
type driftRow struct {
	mailboxKey
	DelegateKey         string    `db:"delegate_key,indexed"`
	Mailbox             string    `db:"mailbox"`
	Delegate            string    `db:"delegate"`
	Kind                string    `db:"kind"`
	Since               time.Time `db:"since"`
	SetOperationID      string    `db:"set_operation_id"`
	SetAt               time.Time `db:"set_at"`
	ObservedOperationID string    `db:"observed_operation_id"`
	ObservedAt          time.Time `db:"observed_at"`
	LastSequence        int64     `db:"last_sequence"`
}

var delegationDrift = table[driftRow]{name: "delegation_drift", key: "tenant, mailbox_key, delegate_key"}

// reconciled is the part of a mailbox's row about drift: what the last command left, and how the
// last observation differs.
type reconciled struct {
	SetDelegates   []string         `db:"set_delegates"`
	SetOperationID string           `db:"set_operation_id"`
	SetAt          *time.Time       `db:"set_at"`
	DriftSequence  int64            `db:"drift_sequence"`
	DriftAt        *time.Time       `db:"drift_at"`
	drift          map[string]drift // by delegate, in lower case
}

type drift struct {
	delegate, kind string
	since          time.Time
}

// inherit takes over the drift columns of an older row. If several rows become one mailbox, those
// of the latest command and those of the latest drift are kept.
func (m *delegatedRow) inherit(old *delegatedRow) {
	if old.SetAt != nil && (m.SetAt == nil || m.SetAt.Before(*old.SetAt)) {
		m.SetDelegates = old.SetDelegates
		m.SetOperationID = old.SetOperationID
		m.SetAt = old.SetAt
	}
	if old.DriftSequence > m.DriftSequence {
		m.DriftSequence = old.DriftSequence
		m.DriftAt = old.DriftAt
		m.drift = old.drift
	}
}

// reconcile sets the drift columns for the new list. After a command there is no drift. A
// difference that was there before keeps its time.
func (m *delegatedRow) reconcile() {
	before := m.drift
	if m.Source == setByCommand {
		m.SetOperationID = m.OperationID
		m.SetAt = &m.KnownAt
		m.drift = nil
		m.SetDelegates = []string{}
		for _, d := range m.delegates {
			m.SetDelegates = append(m.SetDelegates, d.Address)
		}
	} else {
		m.drift = m.differences()
		for key, d := range m.drift {
			if earlier, ok := before[key]; ok && earlier.kind == d.kind {
				d.since = earlier.since
				m.drift[key] = d
			}
		}
	}
	if !sameDrift(before, m.drift) {
		m.DriftSequence = m.LastSequence
		m.DriftAt = &m.KnownAt
	}
}

// differences compares the list that the last command left with the observed list. Exchange may
// list a group by its name instead of its address. Which group that is cannot be told, so an entry
// without an address is not unexpected, and if there is one, no delegate counts as missing.
func (m *delegatedRow) differences() map[string]drift {
	if m.SetAt == nil {
		return nil
	}
	found := map[string]drift{}
	nameless := false
	for _, d := range m.delegates {
		switch {
		case containsName(m.SetDelegates, d.Address):
		case strings.Contains(d.Address, "@"):
			found[strings.ToLower(d.Address)] = drift{d.Address, event.DriftUnexpected, m.KnownAt}
		default:
			nameless = true
		}
	}
	for _, address := range m.SetDelegates {
		seen := slices.ContainsFunc(m.delegates, func(d event.Delegate) bool { return strings.EqualFold(d.Address, address) })
		if !seen && !nameless {
			found[strings.ToLower(address)] = drift{address, event.DriftMissing, m.KnownAt}
		}
	}
	return found
}

func containsName(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

func sameDrift(a, b map[string]drift) bool {
	if len(a) != len(b) {
		return false
	}
	for key, d := range a {
		if b[key].kind != d.kind {
			return false
		}
	}
	return true
}

// driftRows returns the rows of delegation_drift.
func (m delegatedRow) driftRows() (rows []driftRow) {
	for key, d := range m.drift {
		rows = append(rows, driftRow{
			mailboxKey: m.mailboxKey, DelegateKey: key, Mailbox: m.Identity, Delegate: d.delegate, Kind: d.kind, Since: d.since,
			SetOperationID: m.SetOperationID, SetAt: *m.SetAt,
			ObservedOperationID: m.OperationID, ObservedAt: m.KnownAt, LastSequence: m.LastSequence,
		})
	}
	return rows
}

func driftsOf(list []event.DelegateDrift) map[string]drift {
	found := make(map[string]drift, len(list))
	for _, d := range list {
		found[strings.ToLower(d.Delegate)] = drift{d.Delegate, d.Kind, d.Since}
	}
	return found
}
