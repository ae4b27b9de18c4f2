package delegation

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
)

func TestFolderEntries(t *testing.T) {
	t.Parallel()
	editor, reviewer := []string{"Editor"}, []string{"Reviewer"}
	for _, tt := range []struct {
		name  string
		entry entry
		// plan is the planned action and its value; empty if nothing has to change.
		action, value string
		flags         []string // in the outcome
	}{
		{name: "grant, no entry yet", entry: entry{after: editor}, action: "add", value: "d@x: Editor"},
		{name: "grant, an entry with other rights", entry: entry{exists: true, before: reviewer, after: editor}, action: "set", value: "d@x: Editor"},
		{name: "grant, the same rights", entry: entry{exists: true, before: editor, after: editor}},
		{name: "grant, the same rights in another case", entry: entry{exists: true, before: []string{"editor"}, after: editor}},
		{
			name:  "grant, the same rights in another order",
			entry: entry{exists: true, before: []string{"ReadItems", "CreateItems"}, after: []string{"CreateItems", "ReadItems"}},
		},
		{
			name:  "grant, one right more",
			entry: entry{exists: true, before: []string{"ReadItems"}, after: []string{"ReadItems", "CreateItems"}}, action: "set", value: "d@x: ReadItems, CreateItems",
		},
		{
			name:  "grant without flags keeps the flags",
			entry: entry{exists: true, before: editor, after: editor, flagsBefore: []string{"Delegate"}}, flags: []string{"Delegate"},
		},
		{
			name:   "grant with other flags",
			entry:  entry{exists: true, before: editor, after: editor, flagsBefore: []string{"Delegate"}, flags: []string{"None"}},
			action: "set", value: "d@x: Editor", flags: []string{"None"},
		},
		{
			name:  "grant of the flag None, which an entry without flags has",
			entry: entry{exists: true, before: editor, after: editor, flags: []string{"none"}}, flags: []string{"none"},
		},
		{name: "revoke, an entry", entry: entry{exists: true, before: editor, flagsBefore: []string{"Delegate"}}, action: "remove", value: "d@x"},
		{name: "revoke, no entry", entry: entry{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := tt.entry
			e.mailbox, e.folder, e.delegate = "m@x", "Calendar", "d@x"
			plan := event.Plan{Target: `m@x:\Calendar`, Exists: e.exists}
			if tt.action != "" {
				plan.Changes = []event.Change{{Action: tt.action, What: "folder permission", Value: tt.value}}
			}
			if d := cmp.Diff(plan, e.plan()); d != "" {
				t.Errorf("plan: %s", d)
			}
			reply := event.FolderChangedData{
				Mailbox: "m@x", Folder: "Calendar", Delegate: "d@x",
				AccessRights: nonNil(e.after), SharingPermissionFlags: tt.flags, Before: nonNil(e.before), Changed: tt.action != "",
			}
			if d := cmp.Diff(reply, folderChanged(&operation.Attempt{}, e).Data); d != "" {
				t.Errorf("reply: %s", d)
			}
		})
	}
}
