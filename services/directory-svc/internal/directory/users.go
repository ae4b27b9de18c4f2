package directory

import (
	"context"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/services/internal/worker"
)

// userCreator creates business users at one tenant's Hosted Exchange.
type userCreator struct {
	client *hostedexchange.Client
	// directory is the Active Directory behind it; nil where the tenant gives none to read.
	directory *ldapdirectory.Client
}

func (c userCreator) create(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
	var data event.BusinessUserCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, err
	}
	if run.Prior != nil && hostedexchange.Ended(run.Prior.Failure.Code) {
		return operation.Reply{}, &failure.Error{
			Kind: failure.Refused, Vendor: hostedexchange.Vendor, Code: run.Prior.Failure.Code,
			Text: "the provisioning engine ended the procedure with an error, and has left no user in the directory",
		}
	}
	user, err := c.client.CreateBusinessUser(ctx, businessUser(data))
	if err != nil {
		return operation.Reply{}, c.meaning(ctx, run, data, err)
	}
	out := userCreated(run, data, user)
	if c.directory != nil {
		found, err := worker.ReadBack(ctx, func(ctx context.Context) (ldapdirectory.Object, error) {
			return c.directory.Find(ctx, hostedexchange.PathDN(user.Path))
		})
		if err == nil {
			identify(&out, found)
		} else { // the user exists whatever comes of the reading
			out.Warnings = append(out.Warnings, unread("The user was created, but its GUID could not be read", err))
		}
	}
	return operation.Reply{Type: event.TypeBusinessUserCreated, Data: out}, nil
}

// meaning is what a failed create means for the operation. After an earlier call that is open, a
// taken name is ours, perhaps, but not if it was taken before the command came.
func (c userCreator) meaning(ctx context.Context, run *operation.Attempt, data event.BusinessUserCreateData, err error) error {
	if run.Prior == nil || !hostedexchange.Exists(err) {
		return err
	}
	if c.directory != nil {
		if user, e := c.find(ctx, data); e == nil && user != nil && ageOf(run, userCreatedAt(*user)) == older {
			return err
		}
	}
	return worker.Reopen(run, err)
}

// unread is the warning that what was just created could not be read.
func unread(what string, err error) event.Warning {
	return event.Warning{Text: what + ": " + failure.Of(err).Text + "."}
}

func userCreated(run *operation.Attempt, data event.BusinessUserCreateData, user hostedexchange.CreatedUser) event.BusinessUserCreatedData {
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
			out.Mailbox.QuotaKB, out.Mailbox.DisablePOP, out.Mailbox.DisableIMAP, out.Mailbox.DisableHTTP = m.SizeKB, &m.DisablePOP, &m.DisableIMAP, &m.DisableHTTP
			for _, name := range m.Unread {
				out.Warnings = append(out.Warnings, event.Warning{Text: "The vendor's answer has a value of " + name + " that could not be read; it is left out."})
			}
		}
	}
	return out
}

// identify adds what only the directory tells.
func identify(out *event.BusinessUserCreatedData, found ldapdirectory.Object) {
	out.User.GUID, out.User.SID, out.User.SAMAccountName = found.GUID, found.SID, found.SAMAccountName
	if out.Mailbox != nil && found.MailStore != "" {
		out.Mailbox.MailStore = &event.ChosenStore{ServerName: found.MailServer, MailStoreName: found.MailStore}
	}
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

// userCreatedAt is when a user was created; zero where the directory does not tell.
func userCreatedAt(user ldapdirectory.Object) adaxes.Span {
	return adaxes.Span{Earliest: user.Created, Latest: user.Created}
}

// lookUp finds the user that an earlier attempt of this very operation created: CreateBusinessUser
// has no sister that reads, so that is asked of the directory.
//
// Only an open call makes a user of that name ours, for the vendor refuses to create a second one,
// and only a user that is certainly not older than the command. Before the first call there is
// nothing to find.
func (c userCreator) lookUp(ctx context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
	if c.directory == nil {
		// After a 503 most often nothing was done. To create again is harmless, since the name
		// collides, and tells more than nothing: either it succeeds, or the name is taken and a
		// person has to look.
		if run.Prior != nil && run.Prior.Failure.Code == hostedexchange.CodeAway {
			return operation.Reply{}, false, nil
		}
		return operation.Reply{}, false, operation.ErrCannotLookUp
	}
	if run.Prior == nil {
		return operation.Reply{}, false, nil
	}
	var data event.BusinessUserCreateData
	if err := run.Decode(&data); err != nil {
		return operation.Reply{}, false, err
	}
	user, err := c.find(ctx, data)
	if err != nil || user == nil {
		return operation.Reply{}, false, err
	}
	switch ageOf(run, userCreatedAt(*user)) {
	case older:
		return operation.Reply{}, false, nil
	case ageUnknown:
		return operation.Reply{}, false, operation.ErrCannotLookUp
	}
	return operation.Reply{Type: event.TypeBusinessUserCreated, Data: lostCreateResult(run, data, *user)}, true, nil
}

// find reads the user at the place that the command intends; nil where there is none.
func (c userCreator) find(ctx context.Context, data event.BusinessUserCreateData) (*ldapdirectory.Object, error) {
	user, err := c.directory.Find(ctx, hostedexchange.PathDN(hostedexchange.UserPath(data.Container, data.UserPrincipalName)))
	if failure.Is(err, failure.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &user, nil
}

// lostCreateResult is the result of a create whose answer was lost, with the properties that the
// directory has.
func lostCreateResult(run *operation.Attempt, data event.BusinessUserCreateData, user ldapdirectory.Object) event.BusinessUserCreatedData {
	out := event.BusinessUserCreatedData{
		Operation: run.Operation,
		User: event.BusinessUser{
			Path: hostedexchange.UserPath(data.Container, data.UserPrincipalName), UserPrincipalName: data.UserPrincipalName, DisplayName: data.DisplayName,
		},
		Warnings: []event.Warning{{Text: "The vendor's answer was lost; the user was found in the directory."}},
	}
	if run.Prior != nil && hostedexchange.Ended(run.Prior.Failure.Code) {
		out.Warnings[0].Text = "The vendor ended with the error " + run.Prior.Failure.Code + "; the user was found in the directory."
	}
	for _, group := range user.MemberOf {
		out.User.MemberOf = append(out.User.MemberOf, hostedexchange.DNPath(group))
	}
	switch {
	case data.PlanName == "":
	case user.MailStore == "":
		out.Warnings = append(out.Warnings, event.Warning{Text: "The user has no mailbox, although a plan was given: the vendor did not finish."})
	default:
		out.Mailbox = &event.HostedMailbox{PlanName: data.PlanName, PrimarySMTPAddress: user.Mail}
	}
	identify(&out, user)
	return out
}

// plan says what would be asked for, and whether the user exists where the directory can be read.
func (c userCreator) plan(ctx context.Context, run *operation.Attempt) (event.Plan, error) {
	var data event.BusinessUserCreateData
	if err := run.Decode(&data); err != nil {
		return event.Plan{}, err
	}
	plan := event.Plan{Target: hostedexchange.UserPath(data.Container, data.UserPrincipalName)}
	if c.directory != nil {
		user, err := c.find(ctx, data)
		if err != nil {
			return event.Plan{}, err
		}
		if user != nil {
			plan.Exists = true
			return plan, nil
		}
	}
	plan.Changes = []event.Change{{Action: "create", What: "user", Value: data.UserPrincipalName}}
	if data.PlanName != "" {
		plan.Changes = append(plan.Changes, event.Change{Action: "create", What: "mailbox", Value: data.PlanName})
	}
	return plan, nil
}
