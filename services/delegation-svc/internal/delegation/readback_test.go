package delegation

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
)

func TestReadBackCommands(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		readBack    func(*operation.Attempt) (string, any, error)
		commandType string
		command     string
		wantType    string
		wantData    any
	}{
		{
			"set", readBack, event.TypeDelegationSet, `{"mailbox":"m@x.com","delegates":["a@x.com"]}`,
			event.TypeDelegationRead, event.DelegationReadData{Mailbox: "m@x.com"},
		},
		{
			"change", readBack, event.TypeDelegationChange, `{"mailbox":"m@x.com","remove":["a@x.com"]}`,
			event.TypeDelegationRead, event.DelegationReadData{Mailbox: "m@x.com"},
		},
		{
			"grant", readBackFolder, event.TypeFolderGrant, `{"mailbox":"m@x.com","folder":"Calendar","delegate":"a@x.com","accessRights":["Editor"]}`,
			event.TypeFolderRead, event.FolderReadData{Mailbox: "m@x.com", Folder: "Calendar"},
		},
		{
			"revoke", readBackFolder, event.TypeFolderRevoke, `{"mailbox":"m@x.com","folder":"Calendar","delegate":"a@x.com"}`,
			event.TypeFolderRead, event.FolderReadData{Mailbox: "m@x.com", Folder: "Calendar"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := event.New("1", "/test", tt.commandType, []byte(tt.command))
			if err != nil {
				t.Fatal(err)
			}
			eventType, data, err := tt.readBack(&operation.Attempt{Command: e})
			if err != nil || eventType != tt.wantType {
				t.Fatalf("%s, %v", eventType, err)
			}
			if d := cmp.Diff(tt.wantData, data); d != "" {
				t.Error(d)
			}
		})
	}
}
