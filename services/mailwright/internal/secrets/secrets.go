// Package secrets is `mailwright secrets`: the keys to which publishers seal the secrets of
// commands.
package secrets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright secrets`.
type Command struct {
	Keygen     Keygen     `cmd:"" help:"Make a key that opens sealed secrets, in a new file."`
	Publish    Publish    `cmd:"" help:"Publish the keys to which a tenant's publishers seal secrets."`
	Recipients Recipients `cmd:"" help:"Print the keys to which a tenant's publishers seal secrets."`
}

// Keygen is `mailwright secrets keygen`.
type Keygen struct {
	File string `arg:"" help:"The new file. It is readable by its owner alone."`
}

// Help implements kong.HelpProvider.
func (Keygen) Help() string {
	return `The file is what 'identities' of a tenant names in the services' configuration. It may hold up to 4 keys, one a line,
as age-keygen writes them. Its public key is printed. No server is asked.

  mailwright secrets keygen contoso.age

Exit codes: 0 made; 1 the file is there already, or cannot be written.`
}

// Run makes the file.
func (c *Keygen) Run(a *app.App) (err error) {
	text, err := sealed.GenerateIdentity()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return printPublic(a, "", text)
}

// printPublic prints the public keys of a text with identities.
func printPublic(a *app.App, tenant, identities string) error {
	keys, err := sealed.ParseIdentities(identities)
	if err != nil {
		return err
	}
	return printRecipients(a, tenant, keys.Recipients())
}

// printed is what --json prints.
type printed struct {
	Tenant     string   `json:"tenant,omitempty"`
	Recipients []string `json:"recipients"`
}

func printRecipients(a *app.App, tenant string, list []sealed.Recipient) error {
	out := printed{Tenant: tenant, Recipients: []string{}}
	for _, r := range list {
		out.Recipients = append(out.Recipients, r.String())
	}
	if a.JSON {
		return a.PrintJSON(out)
	}
	for _, r := range out.Recipients {
		if _, err := fmt.Fprintln(a.Out, r); err != nil {
			return err
		}
	}
	return nil
}

// tenantFlag names a tenant.
type tenantFlag struct {
	Tenant string `env:"MAILWRIGHT_TENANT" help:"Tenant. Default: the only one of the system."`
}

// of is the tenant that is meant.
func (f tenantFlag) of(a *app.App) (string, error) {
	endpoints, err := a.Endpoints()
	if err != nil {
		return "", err
	}
	name := cmp.Or(f.Tenant, endpoints.Tenant)
	if !event.ValidTenant(name) {
		return "", app.Usage("name the tenant: --tenant, 1 to 63 characters of a-z, 0-9 and -")
	}
	return name, nil
}

// Publish is `mailwright secrets publish`.
type Publish struct {
	tenantFlag
	Recipient  []string `arg:"" optional:"" help:"Public keys: age1…"`
	Identities string   `env:"-" placeholder:"FILE" help:"Instead: the first key of the file that the services have."`
	Remove     bool     `env:"-" help:"Instead: none; 'mailwright send' and pkg/client then seal nothing."`
	app.ReasonFlag
}

// Help implements kong.HelpProvider.
func (Publish) Help() string {
	return `They take the place of those published before. Publishers read them from NATS, so no service has to run. To
replace a key: put the new one behind the old one in the identities file, wait until every service has it, publish
the new one, put it first, and take the old one out once no command that was sealed to it is left. The services read
the file again when it changes.

  mailwright secrets publish --tenant contoso --identities contoso.age
  mailwright secrets publish --tenant contoso age1mgvjzw6cv78k93rgfav63xpxprxz6l2u6vm89qadty4ufr9ugv9q9ldcm7
  mailwright secrets publish --tenant contoso --remove

Exit codes: 0 published; 1 NATS is away, or refuses; 2 the call is wrong.`
}

// Run publishes.
func (c *Publish) Run(ctx context.Context, a *app.App) error {
	if err := c.CheckReason(""); err != nil {
		return err
	}
	tenant, err := c.of(a)
	if err != nil {
		return err
	}
	list, err := c.recipients()
	if err != nil {
		return &app.ExitError{Code: app.ExitUsage, Err: err}
	}
	act := audit.Act{Action: audit.PublishRecipient, Reason: c.Reason, Tenants: []string{tenant}, Count: len(list)}
	if c.Remove {
		act.Options = []string{"remove"}
	}
	return connected(ctx, a, func(ctx context.Context, js jetstream.JetStream) error {
		err := a.Recorder(js).Record(ctx, act, func(tally *audit.Tally) error {
			err := store(ctx, js, tenant, list)
			if err == nil {
				tally.Add(len(list))
			}
			return err
		})
		if err != nil {
			return err
		}
		return printRecipients(a, tenant, list)
	})
}

// store publishes keys in the place of those published before.
func store(ctx context.Context, js jetstream.JetStream, tenant string, list []sealed.Recipient) error {
	var body strings.Builder
	for _, r := range list {
		fmt.Fprintln(&body, r)
	}
	_, err := client.Store(ctx, js, &nats.Msg{Subject: topology.RecipientsSubject(tenant), Data: []byte(body.String())})
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return client.ErrNoStreams
	}
	return err
}

func (c *Publish) recipients() ([]sealed.Recipient, error) {
	given := 0
	for _, is := range []bool{len(c.Recipient) > 0, c.Identities != "", c.Remove} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, errors.New("give public keys, or --identities, or --remove")
	case c.Remove:
		return nil, nil
	case c.Identities == "":
		return sealed.ParseRecipients(strings.Join(c.Recipient, "\n"))
	}
	text, err := os.ReadFile(c.Identities)
	if err != nil {
		return nil, err
	}
	keys, err := sealed.ParseIdentities(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Identities, err)
	}
	return keys.Recipients()[:1], nil
}

// Recipients is `mailwright secrets recipients`.
type Recipients struct{ tenantFlag }

// Help implements kong.HelpProvider.
func (Recipients) Help() string {
	return `One a line, as a file for 'age -R'. To seal a password by hand, bound to its operation:

  mailwright secrets recipients --tenant contoso > contoso.txt
  printf 'mailwright-operation %s\n%s' "$OPERATION" "$PASSWORD" | age -a -R contoso.txt

The text that age prints stands in the place of the password. 'mailwright send' does this by itself.

Exit codes: 0 printed; 1 none is published, or NATS is away.`
}

// Run prints them.
func (c *Recipients) Run(ctx context.Context, a *app.App) error {
	tenant, err := c.of(a)
	if err != nil {
		return err
	}
	return connected(ctx, a, func(ctx context.Context, js jetstream.JetStream) error {
		text, err := client.Recipients(ctx, js, tenant)
		if err != nil {
			return err
		}
		if text == "" {
			return fmt.Errorf("no key is published for tenant %s: 'mailwright secrets publish' publishes one", tenant)
		}
		list, err := sealed.ParseRecipients(text)
		if err != nil {
			return fmt.Errorf("what is published for tenant %s: %w", tenant, err)
		}
		return printRecipients(a, tenant, list)
	})
}

// connected does something with NATS.
func connected(ctx context.Context, a *app.App, do func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	nc, js, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	return do(ctx, js)
}
