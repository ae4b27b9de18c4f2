package directory

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
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
	if run.Settling && isExists(err) {
		return alreadyThere(run, data), nil
	}
	if err != nil {
		return operation.Result{}, err
	}
	return userCreated(run, data, user), nil
}

// isExists: the vendor has no call to read a user, but a natural guard: CN is the UPN, so a second create in the
// same container collides and creates nothing.
func isExists(err error) bool { return err != nil && failure.Of(err).Code == hostedexchange.CodeExists }

// alreadyThere is the success of an operation whose create was carried out but not answered.
func alreadyThere(run *operation.Run, data event.BusinessUserCreateData) operation.Result {
	user := hostedexchange.CreatedUser{Path: hostedexchange.UserPath(data.Container, data.UserPrincipalName), PlanName: data.PlanName}
	result := userCreated(run, data, user)
	created := result.Data.(event.BusinessUserCreatedData)
	created.Warnings = []event.Warning{{Text: "The vendor's answer to the create was lost; the user was found to be there. Settings of its mailbox were not reported."}}
	result.Data = created
	return result
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
