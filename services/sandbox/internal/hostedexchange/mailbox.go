package hostedexchange

import (
	"slices"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// createMailbox is the procedure CreateMailbox for a user that exists (dd278816); its output is the
// merged executeData.
func (a *API) createMailbox(x *execution) ([]*node, error) {
	u := &user{data: x.data, algorithm: "tightPack", plan: x.data.value("planName")}
	for _, c := range x.data.Children {
		known := slices.Contains([]string{"path", "planName", "preferredDomainController", "customerTypeName", "mailStore"}, c.Name)
		if !known && a.world.Switches.Text(switches.HostedUnknownElements) == "reject" {
			return nil, fault(codeBadRequest, "The argument "+c.Name+" is not known.")
		}
	}
	for _, required := range []string{"path", "planName", "preferredDomainController"} {
		if x.data.value(required) == "" {
			return nil, fault(codeBadRequest, "The argument "+required+" is required.")
		}
	}
	if kind := x.data.value("customerTypeName"); kind != "" && kind != "BusinessUser" {
		return nil, fault(codeBadRequest, "The sandbox knows customers of the type BusinessUser only.")
	}
	dn, err := pathDN(x.data.value("path"))
	if err != nil {
		return nil, err
	}
	if err := u.readStore(); err != nil {
		return nil, err
	}
	u.container = directory.Parent(dn)
	var output []*node
	err = a.world.Update(x.run.Origin, func(tx *state.Tx) error {
		organization, err := a.checkPlace(tx, u)
		if err != nil {
			return err
		}
		o := tx.Object(dn)
		if o == nil || o.Class != "user" {
			return fault(codeNoObject, "There is no such object on the server.")
		}
		u.upn = o.Text("userPrincipalName")
		mail, err := a.addMailbox(tx, u, o, organization)
		if err != nil {
			return err
		}
		for _, c := range x.data.Children {
			output = append(output, tidy(c))
		}
		output = append(output, echoProperties(u, mail), echoMail(mail.plan), echoProxies(mail.mailbox))
		return nil
	})
	return output, err
}
