package hostedexchange

import (
	"context"
)

// The procedures.
const (
	createBusinessUser = "CreateBusinessUser"
	createMailbox      = "CreateMailbox"
	deleteBusinessUser = "DeleteBusinessUser"
)

// Mailbox holds the arguments of CreateMailbox for a business user. All but MailStore are required.
type Mailbox struct {
	// Path is the user's LDAP path.
	Path                      string
	PlanName                  string
	PreferredDomainController string
	// MailStore says where the mailbox goes; nil leaves it to the vendor.
	MailStore *MailStore
}

// CreatedMailbox is what the vendor tells of a new mailbox.
type CreatedMailbox struct {
	PlanName string
	// Mail holds the plan's settings; nil where the vendor says none.
	Mail           *MailSettings
	ProxyAddresses []string
	// Properties holds the attributes that were set (mail, showInAddressBook, ...).
	Properties map[string][]string
}

type (
	wireMailbox struct {
		PreferredDomainController string         `xml:"preferredDomainController"`
		Path                      string         `xml:"path"`
		PlanName                  string         `xml:"planName"`
		CustomerTypeName          string         `xml:"customerTypeName"`
		MailStore                 *wireMailStore `xml:"mailStore"`
	}
	wireDeletion struct {
		PreferredDomainController string `xml:"preferredDomainController"`
		Path                      string `xml:"path"`
	}
)

// CreateMailbox gives an existing business user a mailbox (dd278816). Its errors are those of
// [Client.CreateBusinessUser]; NotFound where the user is missing. The call is not repeatable.
func (c *Client) CreateMailbox(ctx context.Context, m Mailbox) (CreatedMailbox, error) {
	faults := append(pathFaults(m.Path, m.PreferredDomainController), m.MailStore.faults()...)
	if m.PlanName == "" {
		faults = append(faults, "planName is required")
	}
	texts := []field{{"path", m.Path}, {"planName", m.PlanName}, {"preferredDomainController", m.PreferredDomainController}}
	if s := m.MailStore; s != nil {
		texts = append(texts, field{"mailStore.serverName", s.ServerName}, field{"mailStore.mailStoreName", s.MailStoreName})
	}
	if faults = append(faults, unwritable(texts)...); len(faults) > 0 {
		return CreatedMailbox{}, invalid(faults)
	}
	body, err := document(c.cfg.Transport, createMailbox, wireMailbox{m.PreferredDomainController, m.Path, m.PlanName, "BusinessUser", m.MailStore.wire()})
	if err != nil {
		return CreatedMailbox{}, err
	}
	data, err := c.send(ctx, body)
	if err != nil {
		return CreatedMailbox{}, err
	}
	u := data.user()
	return CreatedMailbox{u.PlanName, u.Mail, u.ProxyAddresses, u.Properties}, nil
}

// DeleteBusinessUser deletes a user and the mailbox (dd278541). Its errors are those of
// [Client.CreateBusinessUser]; NotFound where there is no such user, which after a lost answer is
// the goal.
func (c *Client) DeleteBusinessUser(ctx context.Context, path, preferredDomainController string) error {
	faults := append(pathFaults(path, preferredDomainController), unwritable([]field{{"path", path}, {"preferredDomainController", preferredDomainController}})...)
	if len(faults) > 0 {
		return invalid(faults)
	}
	body, err := document(c.cfg.Transport, deleteBusinessUser, wireDeletion{preferredDomainController, path})
	if err != nil {
		return err
	}
	_, err = c.send(ctx, body)
	return err
}

// pathFaults names what is wrong with the arguments of every procedure about a user.
func pathFaults(path, preferredDomainController string) (faults []string) {
	if !isPath(path) {
		faults = append(faults, "path must be an LDAP path such as LDAP://CN=name,OU=name,DC=example,DC=com")
	}
	if preferredDomainController == "" {
		faults = append(faults, "preferredDomainController is required")
	}
	return faults
}
