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

// entry is a delegate's entry in a folder's list of permissions: as it is, and as a command wants
// it. An entry without access rights does not exist.
type entry struct {
	mailbox, folder, delegate string
	exists                    bool
	before, after             []string // access rights
	flagsBefore               []string
	flags                     []string // sharing flags that the command wants; none: they stay as they are
}

func (e entry) location() exchangeonline.Folder {
	return exchangeonline.Folder{Mailbox: e.mailbox, Path: e.folder}
}

// needed reports whether something has to change. Rights and flags are sets: order and case do not
// count.
func (e entry) needed() bool {
	if len(e.after) == 0 {
		return e.exists
	}
	if !e.exists || !sameNames(e.before, e.after) {
		return true
	}
	return len(e.flags) > 0 && !sameNames(withoutNone(e.flagsBefore), withoutNone(e.flags))
}

// withoutNone drops the flag None, which the vendor lists in the place of no flag.
func withoutNone(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.EqualFold(f, "None") })
}

func sameNames(a, b []string) bool { return len(minus(a, b)) == 0 && len(minus(b, a)) == 0 }

// entryOfGrant reads the entry that a grant changes.
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

// entryOfRevoke reads the entry that a revocation removes.
func (d delegator) entryOfRevoke(ctx context.Context, run *operation.Attempt) (entry, error) {
	var data event.FolderRevokeData
	if err := run.Decode(&data); err != nil {
		return entry{}, err
	}
	return d.readEntry(ctx, entry{mailbox: data.Mailbox, folder: data.Folder, delegate: data.Delegate})
}

// readEntry fills in the entry as the vendor has it now.
func (d delegator) readEntry(ctx context.Context, e entry) (entry, error) {
	p, found, err := d.client.FolderPermission(ctx, e.location(), e.delegate)
	e.exists = found
	e.before = p.AccessRights
	e.flagsBefore = p.SharingPermissionFlags
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
	// another writer added the entry after we read
	if e.needed() && e.exists || exchangeonline.IsEntry(err) {
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
	if exchangeonline.IsNoEntry(err) { // another writer removed the entry after we read
		err = nil
	}
	if err := d.checkFolderWrite(ctx, e, err); err != nil {
		return operation.Reply{}, err
	}
	return folderChanged(run, e), nil
}

// checkFolderWrite returns the error of a write, or nil if the write took effect nevertheless: if
// the vendor failed without saying whether it made the change, the entry is read again.
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

// calendar is the folder that is read if a command names none, since it is the only one that the
// vendor's page names. In a mailbox of another language the folder has another name.
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
	e, err := d.entryOfGrant(ctx, run)
	return e.plan(), err
}

func (d delegator) planRevoke(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	e, err := d.entryOfRevoke(ctx, run)
	return e.plan(), err
}

// plan is the answer of a dry run.
func (e entry) plan() event.Plan {
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
	return p
}
