package permissions

import (
	"fmt"
	"strconv"
	"strings"
)

// Account is the NATS account in which everything of Mailwright lies.
const Account = "MAILWRIGHT"

// Config writes the account as a part of a NATS server's configuration. keys are the users' public
// nkeys, by their names. If one of the users is [Administrator], whoever connects without
// credentials is that user.
func Config(users []User, keys map[string]string) string {
	var w strings.Builder
	w.WriteString("# Written by 'mailwright nats permissions'. Include it in the configuration of a NATS server:\n")
	w.WriteString("# with it, nobody connects but these users, and each may do what is listed here and nothing else.\n")
	if key, ok := keys[Administrator]; ok {
		fmt.Fprintf(&w, "# For tests: who connects without credentials may do everything.\nno_auth_user: %s\n", key)
	}
	fmt.Fprintf(&w, "accounts {\n  %s {\n    jetstream: enabled\n    users: [\n", Account)
	for _, u := range users {
		fmt.Fprintf(&w, "      # %s: %s\n      {\n        nkey: %s\n        permissions: {\n", u.Name, u.Role, keys[u.Name])
		fmt.Fprintf(&w, "          publish: {\n%s%s          }\n", list("allow", u.Publish), list("deny", u.Deny))
		fmt.Fprintf(&w, "          subscribe: {\n%s          }\n        }\n      }\n", list("allow", u.Subscribe))
	}
	w.WriteString("    ]\n  }\n}\n")
	return w.String()
}

// list writes subjects. None denied is left out. None allowed is written as such, since a server
// takes a missing list for a permission to do everything.
func list(name string, rules []Rule) string {
	if len(rules) == 0 && name == "deny" {
		return ""
	}
	var w strings.Builder
	fmt.Fprintf(&w, "            %s: [\n", name)
	for _, r := range rules {
		fmt.Fprintf(&w, "              %s\n", strconv.Quote(r.Subject))
	}
	w.WriteString("            ]\n")
	return w.String()
}
