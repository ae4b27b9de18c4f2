package delegation

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// entry is a delegate's entry in a folder's list, as it is and as a command wants it. An entry
// without rights does not exist.
type entry struct {
	mailbox, folder, delegate string
	exists                    bool
	before, after             []string // access rights
	flagsBefore               []string
	flags                     []string // as the command wants them; none: they stay as they are
}

// location names the folder.
func (e entry) location() exchangeonline.Folder {
	return exchangeonline.Folder{Mailbox: e.mailbox, Path: e.folder}
}

// needed reports whether something has to change. Rights and flags are sets.
func (e entry) needed() bool {
	if len(e.after) == 0 {
		return e.exists
	}
	return !e.exists || !sameNames(e.before, e.after) || len(e.flags) > 0 && !sameNames(withoutNone(e.flagsBefore), withoutNone(e.flags))
}

// withoutNone drops None, which is the same as no flag.
func withoutNone(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.EqualFold(f, "None") })
}

func sameNames(a, b []string) bool { return len(minus(a, b)) == 0 && len(minus(b, a)) == 0 }

// entryOfGrant reads the entry that a grant would change.
func (d delegator) entryOfGrant(ctx context.Context, run *operation.Attempt) (entry, error) {
	var data event.FolderGrantData
	if err := run.Decode(&data); err != nil {
		return entry{}, err
	}
	return d.readEntry(ctx, entry{
		mailbox: data.Mailbox, folder: data.Folder, delegate: data.Delegate,
		after: data.AccessRights, flags: data.SharingPermissionFlags,
	})
}

// entryOfRevoke reads the entry that a revocation would take away.
func (d delegator) entryOfRevoke(ctx context.Context, run *operation.Attempt) (entry, error) {
	var data event.FolderRevokeData
	if err := run.Decode(&data); err != nil {
		return entry{}, err
	}
	return d.readEntry(ctx, entry{mailbox: data.Mailbox, folder: data.Folder, delegate: data.Delegate})
}

// readEntry fills in how the entry is now.
func (d delegator) readEntry(ctx context.Context, e entry) (entry, error) {
	p, found, err := d.client.FolderPermission(ctx, e.location(), e.delegate)
	e.exists, e.before, e.flagsBefore = found, p.AccessRights, p.SharingPermissionFlags
	return e, err
}

func (d delegator) grant(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	e, err := d.entryOfGrant(ctx, run)
	if err != nil {
		return operation.Reply{}, err
	}
	if e.needed() && !e.exists {
		err = d.client.AddFolderPermission(ctx, e.location(), e.delegate, e.after, e.flags)
	}
	if e.needed() && e.exists || exchangeonline.IsEntry(err) { // another writer has added one since
		err = d.client.SetFolderPermission(ctx, e.location(), e.delegate, e.after, e.flags)
	}
	if err := d.checkFolderWrite(ctx, e, err); err != nil {
		return operation.Reply{}, err
	}
	return folderChanged(run, e), nil
}

func (d delegator) revoke(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	e, err := d.entryOfRevoke(ctx, run)
	if err != nil {
		return operation.Reply{}, err
	}
	if e.needed() {
		err = d.client.RemoveFolderPermission(ctx, e.location(), e.delegate)
	}
	if exchangeonline.IsNoEntry(err) { // another writer has removed it since
		err = nil
	}
	if err := d.checkFolderWrite(ctx, e, err); err != nil {
		return operation.Reply{}, err
	}
	return folderChanged(run, e), nil
}

// checkFolderWrite reads the entry again if the vendor failed without saying whether it made the change. It
// returns nil if the entry is as wanted.
func (d delegator) checkFolderWrite(ctx context.Context, e entry, err error) error {
	if !exchangeonline.HasEnded(err) {
		return err
	}
	if now, readErr := d.readEntry(ctx, e); readErr == nil && !now.needed() {
		return nil
	}
	return notChanged(err)
}

func folderChanged(run *operation.Attempt, e entry) operation.Reply {
	flags := e.flags
	if len(flags) == 0 && len(e.after) > 0 {
		flags = e.flagsBefore
	}
	return operation.Reply{Type: event.TypeFolderChanged, Data: event.FolderChangedData{
		Operation: run.Operation, Mailbox: e.mailbox, Folder: e.folder, Delegate: e.delegate,
		AccessRights: nonNil(e.after), SharingPermissionFlags: flags, Before: nonNil(e.before), Changed: e.needed(),
	}}
}

// calendar is the folder that is read if a command names none. It is the only one that the vendor's
// page names; in a mailbox of another language it has another name.
const calendar = "Calendar"

func (d delegator) readFolder(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	var data event.FolderReadData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, err
	}
	folder := exchangeonline.Folder{Mailbox: data.Mailbox, Path: cmp.Or(data.Folder, calendar)}
	entries, err := d.client.FolderPermissions(ctx, folder)
	if err != nil {
		return operation.Reply{}, err
	}
	permissions := make([]event.FolderPermission, len(entries))
	for i, p := range entries {
		permissions[i] = event.FolderPermission(p)
	}
	return operation.Reply{Type: event.TypeFolderObserved, Data: event.FolderObservedData{
		Operation: run.Operation, Mailbox: folder.Mailbox, Folder: folder.Path, Permissions: permissions,
	}}, nil
}

func (d delegator) planGrant(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	return planEntry(d.entryOfGrant(ctx, run))
}

func (d delegator) planRevoke(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	return planEntry(d.entryOfRevoke(ctx, run))
}

func planEntry(e entry, err error) (event.Plan, error) {
	p := event.Plan{Target: e.mailbox + `:\` + e.folder, Exists: e.exists}
	rights := e.delegate + ": " + strings.Join(e.after, ", ")
	switch {
	case !e.needed():
	case len(e.after) == 0:
		p.Changes = []event.Change{{Action: "remove", What: "folder permission", Value: e.delegate}}
	case e.exists:
		p.Changes = []event.Change{{Action: "set", What: "folder permission", Value: rights}}
	default:
		p.Changes = []event.Change{{Action: "add", What: "folder permission", Value: rights}}
	}
	return p, err
}
