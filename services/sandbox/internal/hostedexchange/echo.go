package hostedexchange

import (
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// echo is the output: everything that was sent, the password too, then what was made
// (page, "Example XML Response").
func (a *API) echo(u *user, o *state.Object, organization *seed.HostedOrganization, mail *mailResult) []*node {
	var output []*node
	for _, c := range u.data.Children {
		switch c.Name {
		case "properties", "proxyAddresses":
			continue // below, merged with what the plan adds
		case "isAdmin":
			if !a.world.Switches.On(switches.HostedEchoIsAdmin) {
				continue
			}
		}
		output = append(output, tidy(c))
	}
	if properties := echoProperties(u, mail); len(properties.Children) > 0 {
		output = append(output, properties)
	}
	if mail != nil {
		output = append(output, echoMail(mail.plan), echoProxies(mail.mailbox))
	}
	return append(output, echoUser(u, o, organization))
}

// echoProperties shows the request's properties as lists of values, and those that CreateMailbox
// sets, some of them as direct text: the encoding is mixed.
func echoProperties(u *user, mail *mailResult) *node {
	block := element("properties", "")
	if sent := u.data.child("properties"); sent != nil {
		for _, p := range sent.Children {
			name, _ := p.attribute("name")
			shown := element("property", "").with("name", name)
			for _, text := range values(p) {
				shown.Children = append(shown.Children, element("value", text))
			}
			block.Children = append(block.Children, shown)
		}
	}
	if mail == nil {
		return block
	}
	exchange, _, _ := strings.Cut(mail.domain, ".")
	gal := "CN=Default Global Address List,CN=All Global Address Lists,CN=Address Lists Container,CN=" + exchange +
		",CN=Microsoft Exchange,CN=Services,CN=Configuration,DC=" + strings.ReplaceAll(mail.domain, ".", ",DC=")
	block.Children = append(block.Children,
		element("property", mail.queryBase).with("name", "msExchQueryBaseDN"),
		element("property", mail.mailbox.Primary).with("name", "mail"),
		element("property", "", element("value", strconv.Itoa(mail.plan.FolderSet))).with("name", "msExchMailboxFolderSet"),
		element("property", "", element("value", gal)).with("name", "showInAddressBook").with("mode", "append"),
		element("property", "0").with("name", "msExchUserAccountControl"))
	return block
}

func echoMail(plan *seed.Plan) *node {
	bit := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	return element("mail", "",
		element("disablePOP", bit(plan.DisablePOP)), element("size", strconv.FormatInt(plan.SizeKB, 10)),
		element("disableIMAP", bit(plan.DisableIMAP)), element("disableHTTP", bit(plan.DisableHTTP)))
}

func echoProxies(m *state.Mailbox) *node {
	block := element("proxyAddresses", "")
	for _, address := range m.Addresses() {
		block.Children = append(block.Children, element("value", address))
	}
	return block
}

// echoUser is the object made and the groups it joined; the path repeats the container as sent.
func echoUser(u *user, o *state.Object, organization *seed.HostedOrganization) *node {
	path := "LDAP://cn=" + strings.ReplaceAll(directory.EscapeValue(u.upn), "/", `\/`) + "," + u.container
	shown := element("user", "").with("path", path).with("name", u.upn)
	groups := []string{"AllUsers"}
	if u.admin {
		groups = append(groups, "Admins") // the page does not name the administrators' group
	}
	for _, group := range groups {
		shown.Children = append(shown.Children, element("memberOfGroup", "").
			with("name", "LDAP://cn="+group+"@"+organization.Name+",cn=_Private,"+directory.Parent(o.DN)))
	}
	return shown
}

// tidy copies an element without the blanks between its children.
func tidy(n *node) *node {
	c := &node{Name: n.Name, Attributes: n.Attributes, Text: n.Text}
	if len(n.Children) > 0 {
		c.Text = ""
	}
	for _, child := range n.Children {
		c.Children = append(c.Children, tidy(child))
	}
	return c
}
