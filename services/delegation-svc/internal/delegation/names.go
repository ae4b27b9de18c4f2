package delegation

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// roster is a mailbox's list of delegates, before a command changes it.
type roster struct {
	// returned is false if the vendor's answer did not include the list.
	returned bool
	// listed are the delegates as the vendor names them: by SMTP address, Name, GUID or another
	// name.
	listed []string
	// names has the same length and order as listed. An entry that was resolved to an address of
	// the command holds that address, every other entry is the one in listed.
	names []string
	// displayNames are the entries for which the vendor returned a display name only. Several
	// mailboxes can share one, so they identify nobody.
	displayNames []string
	// unresolved are addresses of the command that may be in the list under another name.
	unresolved []string
	// lookalikes maps an address of the command, in lower case, to the entry that equals the
	// display name of that address' mailbox. The entry may be somebody else, so it is not resolved
	// to the address.
	lookalikes map[string]string
}

// others are the entries that are none of the given addresses.
func (r roster) others(addresses []string) []string { return minus(r.names, addresses) }

// getMailbox finds a mailbox by any of its names. The error is NotFound if no mailbox has the name,
// Invalid if several have it.
type getMailbox func(ctx context.Context, name string) (exchangeonline.Mailbox, error)

func (d delegator) getMailbox(ctx context.Context, name string) (exchangeonline.Mailbox, error) {
	return d.client.GetMailbox(ctx, name, exchangeonline.GetOptions{})
}

// readRoster reads a mailbox's list of delegates, and resolves its entries to the given addresses.
func (d delegator) readRoster(ctx context.Context, mailbox string, addresses []string) (roster, error) {
	m, err := d.getMailbox(ctx, mailbox)
	if err != nil {
		return roster{}, err
	}
	return resolveNames(ctx, rosterOf(m), addresses, d.getMailbox)
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

// resolveNames looks up each address that is not in the list, and replaces the entry that is one of
// the other names of the address' mailbox by the address. The vendor's page promises SMTP addresses
// in the list, but the cmdlet is known to print Names and GUIDs. Without the look-up such a
// delegate would seem not to be in the list.
//
// Only mailboxes can be looked up. The address of a group, a contact or a mail user stays
// unresolved.
func resolveNames(ctx context.Context, r roster, addresses []string, get getMailbox) (roster, error) {
	if !r.returned {
		r.unresolved = addresses
		return r, nil
	}
	r.lookalikes = map[string]string{}
	var withoutIDs []string // addresses whose mailboxes have no GUID but the one in Entra ID
	for _, address := range minus(addresses, r.listed) {
		others := r.others(addresses)
		if len(others) == 0 {
			break // no entry is left that could be this address
		}
		m, err := get(ctx, address)
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
			withoutIDs = append(withoutIDs, address)
		}
	}
	switch others := r.others(addresses); {
	case len(others) == 0:
		r.unresolved = nil
	case slices.ContainsFunc(others, isOpaque):
		r.unresolved = append(r.unresolved, withoutIDs...)
	}
	return r, nil
}

var guidForm = regexp.MustCompile(`^\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?$`)

// isOpaque reports whether an entry is a GUID, a distinguished name or a canonical name. The
// properties that the vendor promises for every mailbox do not include these identifiers.
func isOpaque(entry string) bool {
	return guidForm.MatchString(entry) || strings.ContainsAny(entry, "=/")
}

// hasNonAddresses reports whether a list has entries that are not addresses.
func hasNonAddresses(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return !strings.Contains(s, "@") })
}

// minus, intersection and contains compare names as Exchange does, without regard to case.
func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return contains(b, s) })
}

func intersection(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !contains(b, s) })
}

func contains(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}
