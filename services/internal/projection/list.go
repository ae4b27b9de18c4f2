// Package projection holds the projections: how the messages of the streams become rows of schema
// mailwright. Each is a pure function of its stream, so that a replay gives the same rows.
package projection

import (
	"slices"

	"github.com/mailwright/mailwright/services/internal/projector"
)

// List returns every projection as a replay runs them: without a limit on history.
func List() []projector.Projection { return WithRetention(Retention{}) }

// WithRetention returns every projection as projection-svc runs them: with a limit on history.
func WithRetention(history Retention) []projector.Projection {
	return []projector.Projection{
		Commands{}, Operations{history}, DirectoryObjects{}, Mailboxes{}, Delegations{}, FolderPermissions{}, Inventory{}, InventorySyncs{}, DeadLetters{}, Audit{},
	}
}

// writers are the projections that write tables with other names than their own.
var writers = map[string][]string{
	"operations":           {"commands", "operations"},
	"operation_events":     {"operations"},
	"operation_tenants":    {"operations"},
	"operation_outcomes":   {"operations"},
	"operation_durations":  {"operations"},
	"delegation_mailboxes": {"delegations"},
	"delegation_drift":     {"delegations"},
}

// Writers returns the names of the projections that write a table; all of them if the table is not
// known.
func Writers(table string) (names []string) {
	if known, ok := writers[table]; ok {
		return known
	}
	for _, p := range List() {
		names = append(names, p.Name())
	}
	if slices.Contains(names, table) {
		return []string{table}
	}
	return names
}
