package projection

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/projection-svc/internal/projector"
)

// FolderPermissions keeps folder_permissions: what commands left delegates on folders of mailboxes.
type FolderPermissions struct{}

// Name of the projection.
func (FolderPermissions) Name() string { return "folder_permissions" }

// Stream that it follows.
func (FolderPermissions) Stream() string { return bus.Events }

// Subjects of operations on delegates.
func (FolderPermissions) Subjects() []string { return []string{topic(event.Delegation)} }

type folderKey struct {
	Tenant   string `db:"tenant"`
	Mailbox  string `db:"mailbox_key"`
	Folder   string `db:"folder_key"`
	Delegate string `db:"delegate_key"`
}

type folderRow struct {
	folderKey
	MailboxName  string          `db:"mailbox"`
	FolderName   string          `db:"folder"`
	DelegateName string          `db:"delegate"`
	Rights       json.RawMessage `db:"access_rights"` // [] where the entry was revoked
	Flags        json.RawMessage `db:"sharing_permission_flags"`
	OperationID  string          `db:"operation_id"`
	KnownAt      time.Time       `db:"known_at"`
	LastSequence int64           `db:"last_sequence"`
}

var folderPermissions = table[folderRow]{name: "folder_permissions", key: "tenant, mailbox_key, folder_key, delegate_key"}

// Apply writes the rows.
func (FolderPermissions) Apply(ctx context.Context, tx pgx.Tx, records []projector.Record) error {
	events, err := results(records, event.FolderChanged)
	if err != nil {
		return err
	}
	rows := make([]folderRow, len(events))
	for i, r := range events {
		var data event.FolderChangedData
		if err := r.into(&data); err != nil {
			return err
		}
		rows[i] = folderRow{
			folderKey:   folderKey{r.tenant, strings.ToLower(data.Mailbox), strings.ToLower(data.Folder), strings.ToLower(data.Delegate)},
			MailboxName: data.Mailbox, FolderName: data.Folder, DelegateName: data.Delegate,
			Rights: list(data.AccessRights), Flags: list(data.SharingPermissionFlags),
			OperationID: r.operationID, KnownAt: r.StoredAt, LastSequence: r.Sequence,
		}
	}
	return folderPermissions.write(ctx, tx, latest(rows, func(r folderRow) folderKey { return r.folderKey }))
}
