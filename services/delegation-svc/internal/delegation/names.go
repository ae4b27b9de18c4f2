package delegation

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// roster is a mailbox's list of delegates.
type roster struct {
	// returned is false if the vendor did not return the list.
	returned bool
	// listed are the delegates as the vendor calls them: by SMTP address, Name, GUID or another
	// name.
	listed []string
	// names are the same; a delegate whom the command names stands under the command's address.
	names []string
	// displayNames are the entries of which the vendor gave only the display name. They identify
	// nobody.
	displayNames []string
	// unresolved are addresses of the command that may be in the list under another name.
	unresolved []string
	// lookalikes maps an address of the command to the entry that equals that mailbox's display
	// name. The entry may be somebody else, and is not taken for the same.
	lookalikes map[string]string
}

// others are the entries that stand for none of the given addresses.
func (r roster) others(addresses []string) []string { return minus(r.names, addresses) }

// readRoster reads a mailbox's list of delegates. It finds the addresses in the list under whatever
// name the vendor lists them, as far as that can be told.
func (d delegator) readRoster(ctx context.Context, mailbox string, addresses []string) (roster, error) {
	m, err := d.client.GetMailbox(ctx, mailbox, exchangeonline.GetOptions{})
	if err != nil {
		return roster{}, err
	}
	return d.resolveNames(ctx, rosterOf(m), addresses)
}

func rosterOf(m exchangeonline.Mailbox) roster {
	r := roster{returned: m.Delegates != nil}
	for _, delegate := range m.Delegates {
		r.listed = append(r.listed, delegate.Address)
		if delegate.Unidentified {
			r.displayNames = append(r.displayNames, delegate.Address)
		}
	}
	r.names = slices.Clone(r.listed)
	return r
}

// resolveNames looks up each address that is not listed as such, and finds its entry by the names
// that belong to that mailbox alone. The vendor's page promises SMTP addresses in the list, but the
// cmdlet is known to print Names and GUIDs; without this, such a delegate would look absent.
//
// Only mailboxes can be looked up. A group, a contact or a mail user stays unresolved.
func (d delegator) resolveNames(ctx context.Context, r roster, addresses []string) (roster, error) {
	if !r.returned {
		r.unresolved = addresses
		return r, nil
	}
	r.lookalikes = map[string]string{}
	var unidentified []string // mailboxes of which the vendor told no GUID but Entra's
	for _, address := range minus(addresses, r.listed) {
		others := r.others(addresses)
		if len(others) == 0 {
			break // no entry is left that could be this address
		}
		m, err := d.client.GetMailbox(ctx, address, exchangeonline.GetOptions{})
		// no mailbox, or several
		if failure.Is(err, failure.NotFound) || failure.Is(err, failure.Invalid) {
			r.unresolved = append(r.unresolved, address)
			continue
		}
		if err != nil {
			return r, err
		}
		own := intersection(minus(others, r.displayNames), m.Names())
		if len(own) > 0 {
			r.names[slices.Index(r.names, own[0])] = address
			continue
		}
		if m.DisplayName != "" && contains(others, m.DisplayName) {
			r.lookalikes[strings.ToLower(address)] = m.DisplayName
		}
		if len(m.IDs) == 0 {
			unidentified = append(unidentified, address)
		}
	}
	switch others := r.others(addresses); {
	case len(others) == 0:
		r.unresolved = nil
	case slices.ContainsFunc(others, isOpaque):
		r.unresolved = append(r.unresolved, unidentified...)
	}
	return r, nil
}

var guidForm = regexp.MustCompile(`^\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?$`)

// isOpaque reports whether an entry is a GUID, a distinguished name or a canonical name: an
// identifier that the properties which the vendor promises of a mailbox do not hold.
func isOpaque(entry string) bool {
	return guidForm.MatchString(entry) || strings.ContainsAny(entry, "=/")
}

// hasNonAddresses reports whether a list has entries that are not addresses.
func hasNonAddresses(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return !strings.Contains(s, "@") })
}

// minus and intersection compare names as Exchange does, without regard to case.
func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return contains(b, s) })
}

func intersection(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !contains(b, s) })
}

func contains(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}
