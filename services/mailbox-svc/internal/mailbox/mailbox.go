// Package mailbox carries out the commands of the domain mailbox.
package mailbox

import (
	"context"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/tenant"
	"github.com/mailwright/mailwright/pkg/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	clients, err := tenant.Connect(d.Tenants, adaxes.Vendor, func(t *tenant.Tenant) *tenant.Adaxes { return t.Adaxes },
		func(c *tenant.Adaxes) (creator, error) {
			client, err := adaxes.New(c.Client(d.Config.HTTP()))
			return creator{client}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{event.MailboxCreate: worker.ForTenant(clients, creator.create)}, nil
}

// creator creates mailboxes at one tenant's Adaxes.
type creator struct{ client *adaxes.Client }

func (c creator) create(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.MailboxCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	// The user must be there anyway, so reading it first costs one call and answers both questions: is there a user, and
	// has it a mailbox already?
	user, err := c.client.GetObject(ctx, data.DirectoryObject, "mailNickname", "mail", "homeMDB", "msExchMailboxGuid")
	if err != nil {
		return operation.Result{}, err
	}
	if hasMailbox(user) {
		return present(run, data, user)
	}
	result, err := c.client.CreateMailbox(ctx, adaxes.Mailbox{
		DirectoryObject: data.DirectoryObject,
		Alias:           data.Parameters.Alias, AliasTemplate: data.Parameters.AliasTemplate, Storage: data.Parameters.Storage,
	})
	if err != nil {
		return operation.Result{}, err
	}
	return operation.Result{Type: event.MailboxCreated, Data: event.MailboxCreatedData{
		Operation: run.Operation,
		Mailbox:   event.CreatedMailbox{DirectoryObject: result.ObjectDN, Alias: result.MailNickname, PrimarySMTPAddress: result.Mail, Database: result.HomeMDB},
		Warnings:  worker.Warnings(result.Warnings),
	}}, nil
}

// hasMailbox: a user with an alias and a database, or with a mailbox GUID, has a mailbox.
func hasMailbox(user adaxes.DirectoryObject) bool {
	return user.Value("msExchMailboxGuid") != "" || (user.Value("mailNickname") != "" && user.Value("homeMDB") != "")
}

// present answers for a user that has a mailbox. A user has one at most, so with the alias that was asked for the
// goal is reached, whoever reached it; after a lost answer it was ours.
func present(run *operation.Run, data event.MailboxCreateData, user adaxes.DirectoryObject) (operation.Result, error) {
	alias := user.Value("mailNickname")
	if asked := data.Parameters.Alias; !run.Settling && asked != "" && !strings.EqualFold(asked, alias) {
		return operation.Result{}, &failure.Error{Kind: failure.Refused, Vendor: adaxes.Vendor, Text: "the user has a mailbox already, with another alias"}
	}
	return operation.Result{Type: event.MailboxCreated, Data: event.MailboxCreatedData{
		Operation: run.Operation,
		Mailbox:   event.CreatedMailbox{DirectoryObject: user.DN, Alias: alias, PrimarySMTPAddress: user.Value("mail"), Database: databaseName(user.Value("homeMDB"))},
		Warnings:  []event.Warning{{Text: "The user had a mailbox already; none was created by this attempt."}},
	}}, nil
}

// databaseName gives the name in a database's DN; a create reports the name alone.
func databaseName(homeMDB string) string {
	first, _, _ := strings.Cut(homeMDB, ",")
	if _, name, ok := strings.Cut(first, "="); ok {
		return name
	}
	return homeMDB
}
