package projection

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// DirectoryObjects keeps directory_objects: the objects that create operations made.
type DirectoryObjects struct{}

// Name of the projection.
func (DirectoryObjects) Name() string { return "directory_objects" }

// Stream that it follows.
func (DirectoryObjects) Stream() string { return topology.StreamEvents }

// Subjects of operations on directories.
func (DirectoryObjects) Subjects() []string { return []string{eventSubjects(event.DomainDirectory)} }

type objectKey struct {
	Tenant string `db:"tenant"`
	Object string `db:"object_key,indexed"`
}

// keyOf is the key of a directory object. Names of directory objects are compared without regard to
// case.
func keyOf(r result, name string) objectKey { return objectKey{r.tenant, strings.ToLower(name)} }

type directoryRow struct {
	objectKey
	Name           string          `db:"name"`
	GUID           string          `db:"guid"`
	SID            string          `db:"sid"`
	SAMAccountName string          `db:"sam_account_name"`
	ObjectType     string          `db:"object_type"`
	UPN            string          `db:"upn,indexed"`
	DisplayName    string          `db:"display_name"`
	MemberOf       json.RawMessage `db:"member_of"`
	OperationID    string          `db:"operation_id,indexed"`
	CorrelationID  string          `db:"correlation_id"`
	CreatedAt      time.Time       `db:"created_at"`
	LastSequence   int64           `db:"last_sequence"`
}

var directoryObjects = table[directoryRow]{name: "directory_objects", key: "tenant, object_key"}

// Read makes the rows.
func (DirectoryObjects) Read(records []projector.Record) (projector.Write, error) {
	events, err := results(records, event.TypeObjectCreated, event.TypeBusinessUserCreated)
	if err != nil {
		return projector.Write{}, err
	}
	rows := make([]directoryRow, len(events))
	for i, r := range events {
		row := directoryRow{
			MemberOf: jsonList[string](nil), OperationID: r.operationID, CorrelationID: r.correlationID(),
			CreatedAt: r.StoredAt, LastSequence: r.Sequence,
		}
		if r.event.Type() == event.TypeObjectCreated {
			var data event.ObjectCreatedData
			err = r.into(&data)
			row.Name = data.Object.DN
			row.GUID = data.Object.GUID
			row.ObjectType = data.Object.ObjectType
		} else {
			var data event.BusinessUserCreatedData
			err = r.into(&data)
			row.Name = data.User.Path
			row.ObjectType = "user"
			row.UPN = data.User.UserPrincipalName
			row.DisplayName, row.MemberOf = data.User.DisplayName, jsonList(data.User.MemberOf)
			row.GUID = data.User.GUID
			row.SID = data.User.SID
			row.SAMAccountName = data.User.SAMAccountName
		}
		if err != nil {
			return projector.Write{}, err
		}
		row.objectKey = keyOf(r, row.Name)
		rows[i] = row
	}
	return directoryObjects.write(lastPerKey(rows, func(r *directoryRow) objectKey { return r.objectKey })), nil
}
