// Package projection holds the projections: how the messages of the streams become rows of schema
// mailwright. Each is a pure function of its stream, so that a replay gives the same rows.
package projection

import (
	"slices"

	"github.com/mailwright/mailwright/services/internal/projector"
)

// List gives every projection, as a replay has them: it lets no history go.
func List() []projector.Projection { return WithRetention(Retention{}) }

// WithRetention gives every projection, with the history that the live ones keep.
func WithRetention(history Retention) []projector.Projection {
	return []projector.Projection{
		Commands{}, Operations{history}, DirectoryObjects{}, Mailboxes{}, Delegations{}, FolderPermissions{}, Inventory{}, InventorySyncs{}, DeadLetters{},
	}
}

// writers of tables that do not have the name of the one projection that writes them.
var writers = map[string][]string{
	"operations":           {"commands", "operations"},
	"operation_events":     {"operations"},
	"operation_tenants":    {"operations"},
	"operation_outcomes":   {"operations"},
	"operation_durations":  {"operations"},
	"delegation_mailboxes": {"delegations"},
	"delegation_drift":     {"delegations"},
}

// Writers names the projections that write a table; one that is not known may be written by any.
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
