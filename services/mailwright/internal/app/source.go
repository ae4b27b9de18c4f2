package app

import (
	"cmp"
	"net/url"
	"os"
	"os/user"
)

// DefaultSource says who asks: /mailwright-cli/<user>@<host>.
func DefaultSource() string {
	name := cmp.Or(os.Getenv("USER"), "unknown")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return "/mailwright-cli/" + url.PathEscape(name) + "@" + url.PathEscape(host)
}
