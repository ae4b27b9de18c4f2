// Package mailbox carries out the commands of the domain mailbox.
package mailbox

import (
	"cmp"
	"context"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/dn"
	"github.com/mailwright/mailwright/services/internal/worker"
	"github.com/mailwright/mailwright/services/internal/worker/warnings"
)

// Handlers builds the handlers of this domain.
func Handlers(d worker.Dependencies) (map[string]operation.Handler, error) {
	clients, err := tenant.Connect(d.Tenants, adaxes.Vendor, d.Log, func(t *tenant.Tenant) *tenant.Adaxes { return t.Adaxes },
		func(c *tenant.Adaxes) (creator, error) {
			client, err := adaxes.New(c.Client(d.Config.HTTP()))
			return creator{client}, err
		})
	if err != nil {
		return nil, err
	}
	return map[string]operation.Handler{
		event.TypeMailboxCreate: worker.ForTenant(clients, worker.Handler[creator]{
			NotRepeatable: true, LookUp: creator.lookUp, Perform: creator.create, Plan: creator.plan,
		}),
	}, nil
}

// creator creates mailboxes at one tenant's Adaxes.
type creator struct{ client *adaxes.Client }

func (c creator) create(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	var data event.MailboxCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, err
	}
	result, err := c.client.CreateMailbox(ctx, adaxes.Mailbox{
		DirectoryObject: data.DirectoryObject,
		Alias:           data.Parameters.Alias, AliasTemplate: data.Parameters.AliasTemplate, Storage: data.Parameters.Storage,
	})
	if adaxes.MayExist(err) {
		return operation.Reply{}, worker.Reopen(run, err)
	}
	if err != nil {
		return operation.Reply{}, err
	}
	return operation.Reply{Type: event.TypeMailboxCreated, Data: event.MailboxCreatedData{
		Operation: run.Operation,
		Mailbox:   event.CreatedMailbox{DirectoryObject: result.ObjectDN, Alias: result.MailNickname, PrimarySMTPAddress: result.Mail, Database: result.HomeMDB},
		Warnings:  warnings.OfAdaxes(result.Warnings),
	}}, nil
}

// lookUp reads the user. It must be there anyway, so one call answers both questions: is there a
// user, and has it a mailbox already? A user has one at most, so with the alias that was asked for
// the goal is reached, whoever reached it; after a lost answer it was this operation.
func (c creator) lookUp(ctx context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
	var data event.MailboxCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, false, err
	}
	user, err := c.user(ctx, data)
	if err != nil || !hasMailbox(user) {
		return operation.Reply{}, false, err
	}
	alias := user.Value("mailNickname")
	if asked := data.Parameters.Alias; run.Prior == nil && asked != "" && !strings.EqualFold(asked, alias) {
		return operation.Reply{}, false, &failure.Error{Kind: failure.Refused, Vendor: adaxes.Vendor, Text: "the user has a mailbox already, with another alias"}
	}
	out := event.MailboxCreatedData{
		Operation: run.Operation,
		Mailbox:   event.CreatedMailbox{DirectoryObject: user.DN, Alias: alias, PrimarySMTPAddress: user.Value("mail"), Database: databaseName(user.Value("homeMDB"))},
	}
	if run.Prior == nil {
		out.Warnings = []event.Warning{{Text: "The user had a mailbox already; none was created."}}
	}
	return operation.Reply{Type: event.TypeMailboxCreated, Data: out}, true, nil
}

func (c creator) user(ctx context.Context, data event.MailboxCreateData) (adaxes.DirectoryObject, error) {
	return c.client.GetObject(ctx, data.DirectoryObject, "mailNickname", "mail", "homeMDB", "msExchMailboxGuid")
}

func (c creator) plan(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	var data event.MailboxCreateData
	if err := run.Decode(&data); err != nil {
		return event.Plan{}, err
	}
	user, err := c.user(ctx, data)
	if err != nil {
		return event.Plan{}, err
	}
	plan := event.Plan{Target: user.DN, Exists: hasMailbox(user)}
	if !plan.Exists {
		plan.Changes = []event.Change{{Action: "create", What: "mailbox", Value: cmp.Or(data.Parameters.Alias, data.Parameters.AliasTemplate)}}
	}
	return plan, nil
}

// hasMailbox: a user with an alias and a database, or with a mailbox GUID, has a mailbox.
func hasMailbox(user adaxes.DirectoryObject) bool {
	return user.Value("msExchMailboxGuid") != "" || (user.Value("mailNickname") != "" && user.Value("homeMDB") != "")
}

// databaseName gives the name in a database's DN; a create reports the name alone.
func databaseName(homeMDB string) string {
	return cmp.Or(dn.FirstValue(homeMDB), homeMDB)
}
