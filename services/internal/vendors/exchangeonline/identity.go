package exchangeonline

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxIdentity bounds an identity in bytes: it travels in a header too. A distinguished name stays
// well below.
const maxIdentity = 1024

// checkIdentity refuses what cannot name exactly one mailbox. Get-Mailbox takes a "*" as a
// wildcard.
func checkIdentity(identity string) error {
	switch {
	case strings.TrimSpace(identity) == "":
		return invalid("the mailbox is not named")
	case len(identity) > maxIdentity, !printable(identity), strings.Contains(identity, "*"):
		return invalid("the mailbox's name is too long, or has a wildcard or a control character")
	}
	return nil
}

// checkAddresses refuses what is not an SMTP address, the only form that the page documents for a
// delegate.
func checkAddresses(delegates []string) error {
	for _, d := range delegates {
		if !isAddress(d) {
			return invalid("a delegate is not an SMTP address")
		}
	}
	return nil
}

// checkDistinct refuses a delegate that is named twice.
func checkDistinct(lists ...[]string) error {
	seen := map[string]bool{}
	for _, list := range lists {
		for _, d := range list {
			key := strings.ToLower(d)
			if seen[key] {
				return invalid("a delegate is named twice")
			}
			seen[key] = true
		}
	}
	return nil
}

// isAddress tells an address (or user principal name) from a name, an alias, a GUID and a
// distinguished name.
func isAddress(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	return found && local != "" && domain != "" && len(s) <= maxIdentity && printable(s) && !strings.ContainsAny(s, " *,<>") && !strings.Contains(domain, "@")
}

// printable reports whether s can stand in a header.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
