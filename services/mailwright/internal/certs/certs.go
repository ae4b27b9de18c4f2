// Package certs is `mailwright certs`: certificates for systems without a certificate authority of
// their own.
package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright certs`.
type Command struct {
	Dir    string   `help:"Folder of the authority: ca.crt, and its key, ca.key, for its owner to read only." default:"certs" type:"path" placeholder:"DIR"`
	Out    string   `help:"Folder in which each certificate has a folder of its name; default: that of --dir." type:"path" placeholder:"DIR"`
	NewCA  bool     `name:"new-ca" help:"Make a new authority and certificates of it. The authority before stays in each ca.crt until it expires."`
	Shared bool     `help:"Make the keys of certificates readable for every user, for folders that only their program reaches."`
	Seeds  string   `help:"Folder of NATS users' seeds, as 'mailwright nats permissions' writes them: the seed of a certificate's name is copied beside it, as nats.nk." type:"existingdir" placeholder:"DIR"`
	For    []string `arg:"" name:"name" help:"Certificates to make: a name, and further host names or addresses." placeholder:"NAME[=HOST,...]"`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Makes a certificate authority, and for each name a folder with ca.crt, tls.crt and tls.key: a certificate for servers and
clients, of the name, the hosts given, localhost, 127.0.0.1 and ::1. A certificate lives for 90 days. Call it again to renew those
that have less than a third of that left; the others stay. Programs read the files again when they change.

It is for one machine and for tests. Where there is an authority, such as cert-manager, its certificates serve as well.

  mailwright certs nats postgres sandbox=sandbox.example.com

Exit codes: 0 all certificates are good; 1 files cannot be read or written; 2 the call is wrong.`
}

// local are the hosts of every certificate beside those that are named.
var local = []string{"localhost", "127.0.0.1", "::1"}

// made is a certificate, as --json prints it.
type made struct {
	Name    string `json:"name"`
	Folder  string `json:"folder"`
	Renewed bool   `json:"renewed"`
}

// Run makes the certificates.
func (c *Command) Run(a *app.App) error {
	names := make([]string, len(c.For))
	hosts := make([][]string, len(c.For))
	for i, text := range c.For {
		name, further, _ := strings.Cut(text, "=")
		if name == "" || name != filepath.Base(name) || strings.Trim(name, ".") == "" {
			return app.Usage("%s: a name is that of a folder: letters, digits and -", text)
		}
		names[i], hosts[i] = name, append([]string{name}, local...)
		for host := range strings.SplitSeq(further, ",") {
			if host != "" {
				hosts[i] = append(hosts[i], host)
			}
		}
	}
	authority, err := certs.Open(c.Dir, certs.Options{Replace: c.NewCA, Shared: c.Shared})
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = c.Dir
	}
	var errs []error
	list := make([]made, len(names))
	for i, name := range names {
		folder := filepath.Join(out, name)
		renewed, err := authority.Issue(folder, name, hosts[i]...)
		if err == nil && c.Seeds != "" {
			err = c.copySeed(name, folder)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		list[i] = made{name, folder, renewed}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return show(a, list)
}

// seedFile is the file of a program's seed beside its certificate.
const seedFile = "nats.nk"

// copySeed puts the seed of the user of that name beside the certificate, if there is one.
func (c *Command) copySeed(name, folder string) error {
	seed, err := os.ReadFile(filepath.Join(c.Seeds, name+".nk"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // such as the certificate of Postgres
	}
	if err != nil {
		return err
	}
	return certs.Replace(filepath.Join(folder, seedFile), seed, certs.Mode(c.Shared))
}

func show(a *app.App, list []made) error {
	if a.JSON {
		return a.PrintJSON(list)
	}
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	for _, m := range list {
		state := "good"
		if m.Renewed {
			state = "made"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", m.Name, state, m.Folder)
	}
	return w.Flush()
}
