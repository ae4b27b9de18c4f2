package projection

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// FolderPermissions keeps folder_permissions: the rights of delegates on folders of mailboxes, as
// they were last set or read.
type FolderPermissions struct{}

// Name of the projection.
func (FolderPermissions) Name() string { return "folder_permissions" }

// Stream that it follows.
func (FolderPermissions) Stream() string { return topology.StreamEvents }

// Subjects of operations on delegates.
func (FolderPermissions) Subjects() []string { return []string{eventSubjects(event.DomainDelegation)} }

type folderKey struct {
	Tenant   string `db:"tenant"`
	Mailbox  string `db:"mailbox_key"`
	Folder   string `db:"folder_key"`
	Delegate string `db:"delegate_key,indexed"`
}

type folderRow struct {
	folderKey
	MailboxName  string          `db:"mailbox"`
	FolderName   string          `db:"folder"`
	DelegateName string          `db:"delegate,indexed"`
	Rights       json.RawMessage `db:"access_rights"` // [] where the entry was revoked
	Flags        json.RawMessage `db:"sharing_permission_flags"`
	Source       string          `db:"source"` // observed or set
	OperationID  string          `db:"operation_id"`
	KnownAt      time.Time       `db:"known_at"`
	LastSequence int64           `db:"last_sequence"`
}

var folderPermissions = table[folderRow]{name: "folder_permissions", key: "tenant, mailbox_key, folder_key, delegate_key"}

// Read makes the rows. An observation holds the folder's whole list, so the older rows of the
// folder are deleted.
func (FolderPermissions) Read(records []projector.Record) (projector.Write, error) {
	events, err := results(records, event.TypeFolderChanged, event.TypeFolderObserved)
	if err != nil {
		return projector.Write{}, err
	}
	var rows []folderRow
	seen := map[folderKey]bool{} // folders, without a delegate
	for _, r := range events {
		folder, entries, err := r.folder()
		if err != nil {
			return projector.Write{}, err
		}
		if r.event.Type() == event.TypeFolderObserved {
			seen[folder.folderKey] = true
			rows = slices.DeleteFunc(rows, func(old folderRow) bool {
				old.Delegate = ""
				return old.folderKey == folder.folderKey
			})
		}
		namesakes := map[string]int{}
		for _, entry := range entries {
			row := folder.withEntry(entry)
			if entry.Address == "" {
				// Two people with one display name have an entry each.
				if namesakes[row.Delegate]++; namesakes[row.Delegate] > 1 {
					row.Delegate = fmt.Sprintf("%s\n%d", row.Delegate, namesakes[row.Delegate])
				}
			}
			rows = append(rows, row)
		}
	}
	write := folderPermissions.write(lastPerKey(rows, func(r *folderRow) folderKey { return r.folderKey }))
	return projector.InOrder(deleteFolders(seen), write), nil
}

// folder returns the folder of an event, and the entries in the event.
func (r result) folder() (folderRow, []event.FolderPermission, error) {
	row := folderRow{OperationID: r.operationID, KnownAt: r.StoredAt, LastSequence: r.Sequence}
	var entries []event.FolderPermission
	if r.event.Type() == event.TypeFolderObserved {
		var data event.FolderObservedData
		if err := r.into(&data); err != nil {
			return row, nil, err
		}
		row.Source = observed
		row.MailboxName = data.Mailbox
		row.FolderName = data.Folder
		entries = data.Permissions
	} else {
		var data event.FolderChangedData
		if err := r.into(&data); err != nil {
			return row, nil, err
		}
		row.Source = setByCommand
		row.MailboxName = data.Mailbox
		row.FolderName = data.Folder
		entries = []event.FolderPermission{{
			Address: data.Delegate, AccessRights: data.AccessRights, SharingPermissionFlags: data.SharingPermissionFlags,
		}}
	}
	row.folderKey = folderKey{
		Tenant: r.tenant, Mailbox: indexable(strings.ToLower(row.MailboxName)), Folder: indexable(strings.ToLower(row.FolderName)),
	}
	return row, entries, nil
}

// withEntry is the row of an entry of the folder. The delegate is named by address; by the user
// name if the vendor does not return an address.
func (f folderRow) withEntry(entry event.FolderPermission) folderRow {
	f.DelegateName = cmp.Or(entry.Address, entry.User)
	f.Delegate = strings.ToLower(f.DelegateName)
	f.Rights, f.Flags = jsonList(entry.AccessRights), jsonList(entry.SharingPermissionFlags)
	return f
}

// deleteFolders deletes the rows of folders.
func deleteFolders(folders map[folderKey]bool) (w projector.Write) {
	if len(folders) == 0 {
		return w
	}
	var tenants, mailboxes, paths []string
	for f := range folders {
		tenants = append(tenants, f.Tenant)
		mailboxes = append(mailboxes, f.Mailbox)
		paths = append(paths, f.Folder)
	}
	w.Apply = func(ctx context.Context, tx *projector.Tx) error {
		return tx.Exec(ctx, `DELETE FROM folder_permissions AS p USING unnest($1::text[], $2::text[], $3::text[]) AS f (tenant, mailbox_key, folder_key)
			WHERE p.tenant = f.tenant AND p.mailbox_key = f.mailbox_key AND p.folder_key = f.folder_key`, tenants, mailboxes, paths)
	}
	return w
}
