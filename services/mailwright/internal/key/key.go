// Package key is `mailwright key`: the recommended key of a command, and the subject that it makes.
package key

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright key`.
type Command struct {
	Type   string `arg:"" help:"Type of the command, in full or short: mailbox.create."`
	Data   string `arg:"" placeholder:"@FILE|-|JSON" help:"Its data: a file, standard input, or the JSON itself."`
	Tenant string `env:"MAILWRIGHT_TENANT" help:"A tenant of the services' configuration: prints the whole subject too."`
	Domain string `enum:",directory,mailbox,delegation,inventory" default:"" placeholder:"DOMAIN" env:"-" help:"Of operation.cancel: the domain of its target."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Commands with the same tenant, domain and key take effect in the order published. The recommended key is what the
command is about, in lower case and in Unicode's normal form C. In the subject each byte other than A to Z, a to
z, 0 to 9, - and _ becomes % and two hexadecimal digits. No server is asked.

  mailwright key delegation.change '{"mailbox":"Alex@contoso.com"}'
  mailwright key mailbox.create @mailbox.json --tenant contoso
  make-user | mailwright key directory.businessuser.create - --json

Exit codes: 0 printed; 2 the call is wrong, or the data has nothing to make a key of.`
}

// recommended is what --json prints.
type recommended struct {
	Key     string `json:"key"`
	Token   string `json:"token"`
	Subject string `json:"subject,omitempty"`
}

// Run prints the key.
func (c *Command) Run(a *app.App) error {
	r, err := c.recommend(a)
	if err != nil {
		return &app.ExitError{Code: app.ExitUsage, Err: err}
	}
	if a.JSON {
		return a.PrintJSON(r)
	}
	text := fmt.Sprintf("key      %s\ntoken    %s\n", r.Key, r.Token)
	if r.Subject != "" {
		text += fmt.Sprintf("subject  %s\n", r.Subject)
	}
	_, err = fmt.Fprint(a.Out, text)
	return err
}

func (c *Command) recommend(a *app.App) (recommended, error) {
	full := render.Long(c.Type)
	if !event.IsCommand(full) {
		return recommended{}, fmt.Errorf("%s is no command; commands are %s", c.Type, strings.Join(shortTypes(), ", "))
	}
	data, err := app.ReadValue(c.Data, a.Stdin())
	if err != nil {
		return recommended{}, err
	}
	if !json.Valid(data) {
		return recommended{}, fmt.Errorf("the data of %s is not JSON", c.Type)
	}
	e, err := event.New("1", "/", full, json.RawMessage(data))
	if err != nil {
		return recommended{}, err
	}
	r := recommended{Key: event.Key(e)}
	if r.Key == "" {
		return r, fmt.Errorf("the data of %s has nothing to make a key of; 'mailwright send --help' lists what each type's is",
			render.Short(full))
	}
	r.Token = event.Token(r.Key)
	if c.Tenant != "" {
		domain := event.Domain(cmp.Or(c.Domain, string(event.DomainOf(full))))
		_, receipt, err := client.Command{Event: e, Tenant: c.Tenant, Domain: domain}.Message()
		if err != nil {
			return r, err
		}
		r.Subject = receipt.Subject
	}
	return r, nil
}

func shortTypes() (list []string) {
	for _, t := range event.CommandTypes() {
		list = append(list, render.Short(t))
	}
	return list
}
