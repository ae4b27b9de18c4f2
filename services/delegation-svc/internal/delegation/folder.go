package delegation

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
)

// entry is a delegate's entry of a folder's list as it is and as a command wants it; without rights there is none.
type entry struct {
	mailbox, folder, delegate string
	exists                    bool
	before, after             []string // access rights
	flagsBefore               []string
	flags                     []string // that the command gives; none: as they are
}

func (e entry) place() exchangeonline.Folder {
	return exchangeonline.Folder{Mailbox: e.mailbox, Path: e.folder}
}

// needed reports whether something has to change. Rights and flags are sets.
func (e entry) needed() bool {
	if len(e.after) == 0 {
		return e.exists
	}
	return !e.exists || !sameNames(e.before, e.after) || len(e.flags) > 0 && !sameNames(named(e.flagsBefore), named(e.flags))
}

// named drops None, which is the same as no flag.
func named(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.EqualFold(f, "None") })
}

func sameNames(a, b []string) bool { return len(minus(a, b)) == 0 && len(minus(b, a)) == 0 }

// entryOfGrant reads the present entry, to tell what granting changes.
func (d delegator) entryOfGrant(ctx context.Context, run *operation.Run) (entry, error) {
	var data event.FolderGrantData
	if err := run.Decode(&data); err != nil {
		return entry{}, err
	}
	return d.asItIs(ctx, entry{mailbox: data.Mailbox, folder: data.Folder, delegate: data.Delegate, after: data.AccessRights, flags: data.SharingPermissionFlags})
}

// entryOfRevoke reads the present entry, to tell whether there is one to take away.
func (d delegator) entryOfRevoke(ctx context.Context, run *operation.Run) (entry, error) {
	var data event.FolderRevokeData
	if err := run.Decode(&data); err != nil {
		return entry{}, err
	}
	return d.asItIs(ctx, entry{mailbox: data.Mailbox, folder: data.Folder, delegate: data.Delegate})
}

// asItIs fills in how the entry is now.
func (d delegator) asItIs(ctx context.Context, e entry) (entry, error) {
	p, found, err := d.client.FolderPermission(ctx, e.place(), e.delegate)
	e.exists, e.before, e.flagsBefore = found, p.AccessRights, p.SharingPermissionFlags
	return e, err
}

func (d delegator) grant(ctx context.Context, run *operation.Run) (operation.Result, error) {
	e, err := d.entryOfGrant(ctx, run)
	if err != nil {
		return operation.Result{}, err
	}
	if e.needed() && !e.exists {
		err = d.client.AddFolderPermission(ctx, e.place(), e.delegate, e.after, e.flags)
	}
	if e.needed() && e.exists || exchangeonline.IsEntry(err) { // somebody was faster
		err = d.client.SetFolderPermission(ctx, e.place(), e.delegate, e.after, e.flags)
	}
	if err != nil {
		return operation.Result{}, err
	}
	return folderChanged(run, e), nil
}

func (d delegator) revoke(ctx context.Context, run *operation.Run) (operation.Result, error) {
	e, err := d.entryOfRevoke(ctx, run)
	if err != nil {
		return operation.Result{}, err
	}
	if e.needed() {
		err = d.client.RemoveFolderPermission(ctx, e.place(), e.delegate)
	}
	if err != nil && !exchangeonline.IsNoEntry(err) { // that is the goal, whoever reached it
		return operation.Result{}, err
	}
	return folderChanged(run, e), nil
}

func folderChanged(run *operation.Run, e entry) operation.Result {
	flags := e.flags
	if len(flags) == 0 && len(e.after) > 0 {
		flags = e.flagsBefore
	}
	return operation.Result{Type: event.FolderChanged, Data: event.FolderChangedData{
		Operation: run.Operation, Mailbox: e.mailbox, Folder: e.folder, Delegate: e.delegate,
		AccessRights: present(e.after), SharingPermissionFlags: flags, Before: present(e.before), Changed: e.needed(),
	}}
}

// calendar is the folder that is read where a command names none, and the only one that the endpoint's page names. In a mailbox of another
// language it has another name.
const calendar = "Calendar"

func (d delegator) readFolder(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.FolderReadData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	folder := exchangeonline.Folder{Mailbox: data.Mailbox, Path: cmp.Or(data.Folder, calendar)}
	entries, err := d.client.FolderPermissions(ctx, folder)
	if err != nil {
		return operation.Result{}, err
	}
	permissions := make([]event.FolderPermission, len(entries))
	for i, p := range entries {
		permissions[i] = event.FolderPermission(p)
	}
	return operation.Result{Type: event.FolderObserved, Data: event.FolderObservedData{
		Operation: run.Operation, Mailbox: folder.Mailbox, Folder: folder.Path, Permissions: permissions,
	}}, nil
}

func (d delegator) planGrant(ctx context.Context, run *operation.Run) (event.Plan, error) {
	return planEntry(d.entryOfGrant(ctx, run))
}

func (d delegator) planRevoke(ctx context.Context, run *operation.Run) (event.Plan, error) {
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
