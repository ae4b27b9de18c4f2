package projection

import (
	"encoding/json"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// Mailboxes keeps mailboxes: those that create operations made, for objects of a directory (Adaxes)
// and for business users with a plan (Hosted Exchange).
type Mailboxes struct{}

// Name of the projection.
func (Mailboxes) Name() string { return "mailboxes" }

// Stream that it follows.
func (Mailboxes) Stream() string { return topology.StreamEvents }

// Subjects of operations that can make mailboxes.
func (Mailboxes) Subjects() []string {
	return []string{eventSubjects(event.DomainMailbox), eventSubjects(event.DomainDirectory)}
}

type mailboxRow struct {
	objectKey
	DirectoryObject    string          `db:"directory_object"`
	Alias              string          `db:"alias"`
	PrimarySMTPAddress string          `db:"primary_smtp_address,indexed"`
	ProxyAddresses     json.RawMessage `db:"proxy_addresses"`
	DatabaseName       string          `db:"database_name"`
	ServerName         string          `db:"server_name"`
	PlanName           string          `db:"plan_name"`
	QuotaKB            *int64          `db:"quota_kb"`
	DisablePOP         *bool           `db:"disable_pop"`
	DisableIMAP        *bool           `db:"disable_imap"`
	DisableHTTP        *bool           `db:"disable_http"`
	OperationID        string          `db:"operation_id,indexed"`
	CorrelationID      string          `db:"correlation_id"`
	CreatedAt          time.Time       `db:"created_at"`
	LastSequence       int64           `db:"last_sequence"`
}

var mailboxes = table[mailboxRow]{name: "mailboxes", key: "tenant, object_key"}

// Read makes the rows.
func (Mailboxes) Read(records []projector.Record) (projector.Write, error) {
	events, err := results(records, event.TypeMailboxCreated, event.TypeBusinessUserCreated)
	if err != nil {
		return projector.Write{}, err
	}
	var rows []mailboxRow
	for _, r := range events {
		row := mailboxRow{
			ProxyAddresses: jsonList[string](nil), OperationID: r.operationID, CorrelationID: r.correlationID(),
			CreatedAt: r.StoredAt, LastSequence: r.Sequence,
		}
		if r.event.Type() == event.TypeMailboxCreated {
			var data event.MailboxCreatedData
			if err := r.into(&data); err != nil {
				return projector.Write{}, err
			}
			m := data.Mailbox
			row.DirectoryObject = m.DirectoryObject
			row.Alias = m.Alias
			row.PrimarySMTPAddress = m.PrimarySMTPAddress
			row.DatabaseName = m.Database
		} else {
			var data event.BusinessUserCreatedData
			if err := r.into(&data); err != nil {
				return projector.Write{}, err
			}
			if data.Mailbox == nil {
				continue // no plan, no mailbox
			}
			m := data.Mailbox
			row.DirectoryObject = data.User.Path
			row.PlanName = m.PlanName
			row.PrimarySMTPAddress = m.PrimarySMTPAddress
			row.ProxyAddresses, row.QuotaKB = jsonList(m.ProxyAddresses), m.QuotaKB
			if m.MailStore != nil {
				row.ServerName, row.DatabaseName = m.MailStore.ServerName, m.MailStore.MailStoreName
			}
			row.DisablePOP = m.DisablePOP
			row.DisableIMAP = m.DisableIMAP
			row.DisableHTTP = m.DisableHTTP
		}
		row.objectKey = keyOf(r, row.DirectoryObject)
		rows = append(rows, row)
	}
	return mailboxes.write(lastPerKey(rows, func(r *mailboxRow) objectKey { return r.objectKey })), nil
}
