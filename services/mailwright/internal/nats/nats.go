// Package nats is `mailwright nats`: what NATS must be told of Mailwright's users.
package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/permissions"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright nats`.
type Command struct {
	Permissions Permissions `cmd:"" help:"Write what each NATS user may publish and subscribe to."`
}

// Permissions is `mailwright nats permissions`.
type Permissions struct {
	Format     string   `help:"What is written: the configuration of a NATS server, with nkeys or with JWTs; a table in Markdown; or JSON." enum:"config,jwt,table,json" default:"table"`
	Tenant     []string `help:"A publisher and a reader are written for the tenant, or for one of its domains. May be given several times." placeholder:"TENANT[/DOMAIN]" sep:","`
	Operator   []string `help:"A person who gets a user of the operator's permissions for himself, operator-NAME, so that AUDIT tells who did what. May be given several times." placeholder:"NAME" sep:","`
	Seeds      string   `help:"Folder of the users' seeds, <user>.nk, which --nats-nkey reads. Those that are missing are made, for their owner to read only. With --format jwt, of credentials too, <user>.creds, which --nats-creds reads." type:"path" placeholder:"DIR"`
	Partitions int      `help:"Parts into which the keys of a domain are spread, at most: with more, the permissions have to be written anew first." default:"8"`
	Server     string   `name:"server-version" help:"Oldest version of the NATS servers, which decides where acknowledgements go: 2.12 (and 2.13), or 2.14 and later." enum:"2.12,2.14" default:"2.14"`
	Out        string   `help:"File to write to, in place of standard output; replaced as a whole." type:"path" placeholder:"FILE"`
	Trust      bool     `name:"trust-unauthenticated" help:"For tests: who connects without credentials may do everything. Those with a seed are kept to their permissions."`
}

// Help implements kong.HelpProvider.
func (Permissions) Help() string {
	return `Each program, each publisher and each reader has a NATS user of its own, which may do what it needs and nothing else. Tables and JSON hold no keys. Configurations hold public keys and what is signed with the others; seeds stay in their files.

  mailwright nats permissions --tenant contoso
  mailwright nats permissions --tenant contoso --tenant fabrikam/mailbox --format config --seeds seeds > permissions.conf
  mailwright nats permissions --tenant contoso --operator alex --operator dana --format config --seeds seeds > permissions.conf

Exit codes: 0 written; 1 the seeds cannot be read or written; 2 the call is wrong.`
}

// Run writes the permissions.
func (c *Permissions) Run(_ context.Context, a *app.App) error {
	users, err := c.users(a)
	if err != nil {
		return err
	}
	if c.Out == "" {
		return c.write(a, users)
	}
	var text bytes.Buffer
	to := *a
	to.Out = &text
	if err := c.write(&to, users); err != nil {
		return err
	}
	return replaceFile(c.Out, text.Bytes())
}

// replaceFile writes a file as a whole: a NATS server that reads it meanwhile sees the old or the
// new one.
func replaceFile(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".permissions-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	// It holds no secret, and NATS may run as another user.
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// write writes the permissions to the program's output.
func (c *Permissions) write(a *app.App, users []permissions.User) error {
	switch {
	case c.Trust && c.Format != "config":
		return app.Usage("--trust-unauthenticated needs --format config")
	case (c.Format == "config" || c.Format == "jwt") && c.Seeds == "":
		return app.Usage("--format %s needs --seeds: the configuration is made of the users' keys", c.Format)
	case c.Format == "jwt":
		config, err := permissions.JWT(c.Seeds, users)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(a.Out, config)
		return err
	case c.Format == "config":
		keys, err := permissions.Seeds(c.Seeds, users)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(a.Out, permissions.Config(users, keys))
		return err
	case c.Format == "json" || a.JSON:
		return a.PrintJSON(documents(users))
	default:
		_, err := fmt.Fprint(a.Out, permissions.Table(users))
		return err
	}
}

func (c *Permissions) users(a *app.App) ([]permissions.User, error) {
	if c.Partitions < 1 || c.Partitions > topology.MaxPartitions {
		return nil, app.Usage("--partitions %d: there are 1 to %d", c.Partitions, topology.MaxPartitions)
	}
	where, err := a.JetStreamFlags.Options()
	if err != nil {
		return nil, app.Usage("%v", err)
	}
	o := permissions.Options{Partitions: c.Partitions, JetStream: where, OldAcknowledgements: c.Server == "2.12", TrustUnauthenticated: c.Trust}
	for _, name := range c.Operator {
		if !event.ValidTenant(name) { // names have the same form
			return nil, app.Usage("--operator %s: a name has 1 to 63 characters of a-z, 0-9 and -", name)
		}
		if !slices.Contains(o.Operators, name) {
			o.Operators = append(o.Operators, name)
		}
	}
	for _, text := range c.Tenant {
		scope, err := permissions.ParseScope(text)
		if err != nil {
			return nil, app.Usage("--tenant %s: %v", text, err)
		}
		if !slices.Contains(o.Scopes, scope) {
			o.Scopes = append(o.Scopes, scope)
		}
	}
	return permissions.Users(o), nil
}

// document is a user as --format json prints it.
type document struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	Publish   lists  `json:"publish"`
	Subscribe lists  `json:"subscribe"`
}

type lists struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny,omitempty"`
}

func documents(users []permissions.User) []document {
	list := make([]document, len(users))
	for i, u := range users {
		list[i] = document{u.Name, u.Role, lists{subjects(u.Publish), subjects(u.Deny)}, lists{subjects(u.Subscribe), nil}}
	}
	return list
}

func subjects(rules []permissions.Rule) []string {
	var list []string
	for _, r := range rules {
		list = append(list, r.Subject)
	}
	return list
}
