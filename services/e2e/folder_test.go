package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
)

// TestFolderPermissions walks an entry of a calendar through its life, and ends with an answer that
// is lost.
func TestFolderPermissions(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	const entry = `"mailbox":"adele.vance@contoso.com","folder":"Calendar","delegate":"delegate1@contoso.com"`
	for _, step := range []struct {
		id, eventType, data string
		lost                string // the cmdlet whose answer is lost
		want                event.FolderChangedData
	}{
		{"grant", event.TypeFolderGrant, `{` + entry + `,"accessRights":["Reviewer"]}`, "", event.FolderChangedData{AccessRights: []string{"Reviewer"}, Before: []string{}, Changed: true}},
		{"again", event.TypeFolderGrant, `{` + entry + `,"accessRights":["Reviewer"]}`, "", event.FolderChangedData{AccessRights: []string{"Reviewer"}, Before: []string{"Reviewer"}}},
		{"raise", event.TypeFolderGrant, `{` + entry + `,"accessRights":["Editor"],"sharingPermissionFlags":["Delegate"]}`, "", event.FolderChangedData{AccessRights: []string{"Editor"}, SharingPermissionFlags: []string{"Delegate"}, Before: []string{"Reviewer"}, Changed: true}},
		// After a lost answer the entry is read again, and is already gone.
		{"revoke", event.TypeFolderRevoke, `{` + entry + `}`, "Remove-MailboxFolderPermission", event.FolderChangedData{AccessRights: []string{}, Before: []string{}}},
	} {
		if step.lost != "" {
			if err := s.Vendors.Fail(t.Context(), testkit.Fault{Call: step.lost, Kind: "timeout-after", Count: 1}); err != nil {
				t.Fatal(err)
			}
		}
		s.mustPublish(command{step.id, step.eventType, "adele", step.data}.message())
		e := s.outcome(event.DomainDelegation, step.id)
		var got event.FolderChangedData
		if err := e.DataAs(&got); err != nil || e.Type() != event.TypeFolderChanged {
			t.Fatalf("%s ended as %s: %s", step.id, e.Type(), e.Data())
		}
		step.want.Operation, step.want.Mailbox, step.want.Folder, step.want.Delegate = got.Operation, "adele.vance@contoso.com", "Calendar", "delegate1@contoso.com"
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s:\n%s", step.id, diff)
		}
	}
	calls, err := s.Vendors.Calls(t.Context(), "exchangeonline", "Remove-MailboxFolderPermission")
	if err != nil || len(calls) != 1 {
		t.Errorf("the entry was removed %d times, %v", len(calls), err)
	}
	// Who has which rights is read as a whole; the entry that was revoked is gone.
	s.mustPublish(command{"grant 2", event.TypeFolderGrant, "adele", `{"mailbox":"adele.vance@contoso.com","folder":"Calendar","delegate":"delegate2@contoso.com","accessRights":["Author"]}`}.message())
	s.mustPublish(command{"read", event.TypeFolderRead, "adele", `{"mailbox":"adele.vance@contoso.com"}`}.message())
	var seen event.FolderObservedData
	if e := s.outcome(event.DomainDelegation, "read"); e.DataAs(&seen) != nil || e.Type() != event.TypeFolderObserved {
		t.Fatalf("read ended as %s: %s", e.Type(), e.Data())
	}
	want := []event.FolderPermission{
		{User: "Default", AccessRights: []string{"AvailabilityOnly"}}, {User: "Anonymous", AccessRights: []string{"None"}},
		{User: "Delegate 2", Address: "delegate2@contoso.com", AccessRights: []string{"Author"}},
	}
	if diff := cmp.Diff(want, seen.Permissions, cmpopts.EquateEmpty()); diff != "" || seen.Folder != "Calendar" {
		t.Errorf("folder %s:\n%s", seen.Folder, diff)
	}
	s.eventually(func(ctx context.Context) string {
		left, err := s.rows(ctx, `SELECT delegate || ': ' || (access_rights->>0) || ' ' || source FROM mailwright.folder_permissions WHERE mailbox = 'adele.vance@contoso.com' ORDER BY delegate_key`)
		want := []string{"Anonymous: None observed", "Default: AvailabilityOnly observed", "delegate2@contoso.com: Author observed"}
		if diff := cmp.Diff(want, left); err != nil || diff != "" {
			return fmt.Sprint(diff, err)
		}
		return ""
	})
}
