package directory

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/vendors/hostedexchange"
)

// userCreator creates business users at one tenant's Hosted Exchange.
type userCreator struct{ client *hostedexchange.Client }

func (c userCreator) create(ctx context.Context, run *operation.Run) (operation.Result, error) {
	var data event.BusinessUserCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Result{}, err
	}
	user, err := c.client.CreateBusinessUser(ctx, businessUser(data))
	if err != nil {
		return operation.Result{}, err
	}
	return userCreated(run, data, user), nil
}

func userCreated(run *operation.Run, data event.BusinessUserCreateData, user hostedexchange.CreatedUser) operation.Result {
	out := event.BusinessUserCreatedData{
		Operation: run.Operation,
		User:      event.BusinessUser{Path: user.Path, UserPrincipalName: data.UserPrincipalName, DisplayName: data.DisplayName, MemberOf: user.MemberOf},
	}
	if data.PlanName != "" {
		out.Mailbox = &event.HostedMailbox{PlanName: data.PlanName, ProxyAddresses: user.ProxyAddresses}
		if mail := user.Properties["mail"]; len(mail) > 0 {
			out.Mailbox.PrimarySMTPAddress = mail[0]
		}
		if m := user.Mail; m != nil {
			size := int64(m.SizeKB)
			out.Mailbox.QuotaKB, out.Mailbox.DisablePOP, out.Mailbox.DisableIMAP, out.Mailbox.DisableHTTP = &size, &m.DisablePOP, &m.DisableIMAP, &m.DisableHTTP
		}
	}
	return operation.Result{Type: event.BusinessUserCreated, Data: out}
}

func businessUser(d event.BusinessUserCreateData) hostedexchange.BusinessUser {
	u := hostedexchange.BusinessUser{
		Container: d.Container, UserPrincipalName: d.UserPrincipalName, PreferredDomainController: d.PreferredDomainController, IsAdmin: d.IsAdmin,
		PlanName: d.PlanName, NewPassword: secret.New(d.NewPassword),
		DisplayName: d.DisplayName, GivenName: d.GivenName, MiddleName: d.MiddleName, SN: d.Surname, Initials: d.Initials, Description: d.Description,
		ProxyAddresses: d.ProxyAddresses, Alias: d.Alias, SAMAccountName: d.SAMAccountName,
	}
	if s := d.MailStore; s != nil {
		u.MailStore = &hostedexchange.MailStore{Algorithm: s.Algorithm, ServerName: s.ServerName, MailStoreName: s.MailStoreName}
	}
	for _, p := range d.Properties {
		u.Properties = append(u.Properties, hostedexchange.Property(p))
	}
	return u
}

// lookUp: CreateBusinessUser has no sister that reads, so a lost answer can not be settled by this API.
func (c userCreator) lookUp(context.Context, *operation.Run) (operation.Result, bool, error) {
	return operation.Result{}, false, operation.ErrCanNotLookUp
}

// plan says what would be asked for; whether the user exists can not be read.
func (c userCreator) plan(_ context.Context, run *operation.Run) (event.Plan, error) {
	var data event.BusinessUserCreateData
	if err := run.Decode(&data); err != nil {
		return event.Plan{}, err
	}
	plan := event.Plan{Target: hostedexchange.UserPath(data.Container, data.UserPrincipalName)}
	plan.Changes = []event.Change{{Action: "create", What: "user", Value: data.UserPrincipalName}}
	if data.PlanName != "" {
		plan.Changes = append(plan.Changes, event.Change{Action: "create", What: "mailbox", Value: data.PlanName})
	}
	return plan, nil
}
