package adaxes

import (
	"context"
	"net/http"

	"github.com/mailwright/mailwright/services/internal/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// Mailbox is an on-premises Exchange mailbox to be created for a user (page "Create Exchange
// mailbox").
type Mailbox struct {
	// DirectoryObject is the user: DN, GUID or SID.
	DirectoryObject string
	// Alias is the Exchange alias. At least one of it and AliasTemplate is required, as the page
	// leaves open what happens without either; the vendor lets Alias win.
	Alias string
	// AliasTemplate holds value references, such as "%username%". [OperationResult.MailNickname] is
	// the alias that the vendor made of it.
	AliasTemplate string
	// Storage is the database: DN or GUID. Empty lets Exchange choose.
	Storage string
}

// wireMailbox is the request's body.
type wireMailbox struct {
	DirectoryObject   string `json:"directoryObject"`
	MailboxParameters struct {
		Alias          string `json:"alias,omitempty"`
		AliasTemplate  string `json:"aliasTemplate,omitempty"`
		MailboxStorage string `json:"mailboxStorage,omitempty"`
	} `json:"mailboxParameters"`
}

// CreateMailbox creates a mailbox. The result holds the alias, address and database that were
// really given.
//
// Errors as of [Client.CreateObject]. After Unknown, read mailNickname, mail, homeMDB and
// msExchMailboxGuid by [Client.GetObject]: a user with them has the mailbox.
func (c *Client) CreateMailbox(ctx context.Context, m Mailbox) (OperationResult, error) {
	if err := invalid(m.faults()); err != nil {
		return OperationResult{}, err
	}
	var body wireMailbox
	body.DirectoryObject = m.DirectoryObject
	body.MailboxParameters.Alias = m.Alias
	body.MailboxParameters.AliasTemplate = m.AliasTemplate
	body.MailboxParameters.MailboxStorage = m.Storage
	answer, err := c.do(ctx, transport.Write, http.MethodPost, "/api/directoryObjects/exchange/mailbox", body)
	if err != nil {
		return OperationResult{}, err
	}
	return decodeResult(answer, c.redactor())
}

func (m Mailbox) faults() []string {
	var faults []string
	if !isIdentifier(m.DirectoryObject) {
		faults = append(faults, "directoryObject must be a DN, a GUID or a SID")
	}
	if m.Alias == "" && m.AliasTemplate == "" {
		faults = append(faults, "alias or aliasTemplate is required")
	}
	if m.Storage != "" && !isGUID(m.Storage) && !dn.Valid(m.Storage) {
		faults = append(faults, "mailboxStorage must be a DN or a GUID")
	}
	return faults
}
