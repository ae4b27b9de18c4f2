// Package projection holds the projections: how the messages of the streams become rows of schema
// mailwright. Each is a pure function of its stream, so that a replay gives the same rows.
package projection

import "github.com/mailwright/mailwright/services/projection-svc/internal/projector"

// List gives every projection.
func List() []projector.Projection {
	return []projector.Projection{
		Commands{}, Operations{}, DirectoryObjects{}, Mailboxes{}, Delegations{}, FolderPermissions{}, Inventory{}, InventorySyncs{}, DeadLetters{},
	}
}
