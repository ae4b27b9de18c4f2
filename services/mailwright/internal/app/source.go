package app

import (
	"cmp"
	"net/url"
	"os"
	"os/user"
)

// DefaultSource says who asks: /mailwright-cli/<user>@<host>.
func DefaultSource() string { return "/mailwright-cli/" + Caller() }

// Caller names who calls, as user@host.
func Caller() string {
	name := cmp.Or(os.Getenv("USER"), "unknown")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return url.PathEscape(name) + "@" + url.PathEscape(host)
}
