package state

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
)

// CloudDatabase is where Exchange Online keeps the simulated tenant's mailboxes.
const CloudDatabase = "EURPR01DG001-db001"

var aliasForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$")

// NewMailbox is what a mailbox needs at birth.
type NewMailbox struct {
	Object       *Object
	Organization string
	Alias        string
	Address      string
	Others       []string
	Database     string
	Server       string
	Plan         string
	QuotaMB      int64
}

// AddMailbox gives a user a mailbox, or says why Exchange refuses.
func (tx *Tx) AddMailbox(n NewMailbox) (*Mailbox, error) {
	switch {
	case tx.MailboxOf(n.Object.GUID) != nil:
		return nil, fmt.Errorf("the user %s already has a mailbox", n.Object.DN)
	case !aliasForm.MatchString(n.Alias) || len(n.Alias) > 64:
		return nil, fmt.Errorf("the alias %q is not valid", n.Alias)
	case tx.MailboxByAlias(n.Organization, n.Alias) != nil:
		return nil, fmt.Errorf("the alias %q is already in use in the organization", n.Alias)
	}
	for _, address := range append([]string{n.Address}, n.Others...) {
		if len(tx.FindRecipients(address)) > 0 {
			return nil, fmt.Errorf("the proxy address \"SMTP:%s\" is already being used", address)
		}
	}
	o := n.Object.Clone()
	made := &Mailbox{
		GUID: NewGUID(), EntraID: NewGUID(), Object: o.GUID, Organization: n.Organization,
		Name: directory.Name(o.DN), DisplayName: o.Text("displayName"), First: o.Text("givenName"), Last: o.Text("sn"),
		UPN: o.Text("userPrincipalName"), Alias: n.Alias, DN: o.DN, Type: "UserMailbox", Primary: n.Address,
		Secondary: n.Others, Database: n.Database, Server: n.Server, Plan: n.Plan, QuotaMB: n.QuotaMB,
		Created: tx.Now(), Changed: tx.Now(),
	}
	if made.DisplayName == "" {
		made.DisplayName = made.Name
	}
	tx.PutMailbox(made)
	o.Properties["mailNickname"] = []any{n.Alias}
	o.Properties["mail"] = []any{n.Address}
	proxies := []any{"SMTP:" + n.Address}
	for _, other := range n.Others {
		proxies = append(proxies, "smtp:"+other)
	}
	o.Properties["proxyAddresses"] = proxies
	o.Changed = tx.Now()
	tx.PutObject(o)
	return made, nil
}

// MoveMailbox keeps a mailbox in line with its directory object after a change there.
func (tx *Tx) MoveMailbox(o *Object) {
	m := tx.MailboxOf(o.GUID)
	if m == nil {
		return
	}
	c := m.Clone()
	c.DN, c.Name, c.UPN = o.DN, directory.Name(o.DN), o.Text("userPrincipalName")
	c.First, c.Last, c.DisplayName = o.Text("givenName"), o.Text("sn"), o.Text("displayName")
	c.Hidden, c.Changed = o.Flag("msExchHideFromAddressLists"), tx.Now()
	tx.PutMailbox(c)
}

func cloudDN(o *seed.Organization, name string) string {
	tenant := "unknown.onmicrosoft.com"
	if o != nil {
		tenant = o.TenantDomain
	}
	return "CN=" + directory.EscapeValue(name) + ",OU=" + tenant +
		",OU=Microsoft Exchange Hosted Organizations,DC=EURPR01A001,DC=PROD,DC=OUTLOOK,DC=COM"
}

// OrganizationOf is the mail organisation that owns an address's domain; nil where none does.
func (tx *Tx) OrganizationOf(address string) *seed.Organization {
	_, domain, _ := strings.Cut(address, "@")
	for i := range tx.Seed().Organizations {
		for _, owned := range tx.Seed().Organizations[i].Domains {
			if strings.EqualFold(owned, domain) {
				return &tx.Seed().Organizations[i]
			}
		}
	}
	return nil
}
