package delegation

import (
	"context"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
)

// recognise gives a mailbox's list with each delegate called as the command calls it, where the command names it. The vendor may call a
// delegate by name, GUID or another of its addresses (the page promises SMTP addresses; the cmdlet is known for the others), and a delegate that was
// not recognised would look removed already.
//
// Only mailboxes can be looked up: a group, a contact or a mail user stays as the vendor calls it, and is a stranger if the list may hold it
// under another name.
func (d delegator) recognise(ctx context.Context, list, named []string) (_, strangers []string, err error) {
	list = slices.Clone(list)
	for _, address := range minus(named, list) {
		if len(minus(list, named)) == 0 {
			break // nobody is left whom it could be
		}
		m, err := d.client.GetMailbox(ctx, address, exchangeonline.GetOptions{})
		if failure.Is(err, failure.NotFound) || failure.Is(err, failure.Invalid) {
			strangers = append(strangers, address) // no mailbox, or several
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if i := slices.IndexFunc(list, func(s string) bool { return contains(namesOf(m), s) }); i >= 0 {
			list[i] = address
		}
	}
	return list, strangers, nil
}

// namesOf gives every name that a delegate's mailbox may stand under in another's list.
func namesOf(m exchangeonline.Mailbox) []string {
	names := []string{m.Identity, m.ID, m.Name, m.DisplayName, m.UserPrincipalName, m.Alias, m.ExternalDirectoryObjectID, m.PrimarySMTPAddress}
	for _, address := range m.EmailAddresses {
		_, bare, _ := strings.Cut(address, ":")
		names = append(names, bare)
	}
	return slices.DeleteFunc(names, func(s string) bool { return s == "" })
}

// anonymous reports whether a list has delegates that are not called by an address.
func anonymous(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return !strings.Contains(s, "@") })
}
