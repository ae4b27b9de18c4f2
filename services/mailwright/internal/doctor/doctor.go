// Package doctor is `mailwright doctor`: it signs in to every configured vendor of every tenant and
// asks for something that only reads. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright doctor`.
type Command struct {
	File    string        `arg:"" optional:"" env:"MAILWRIGHT_CONFIG" help:"The services' configuration. Default: that of 'mailwright dev'." placeholder:"FILE"`
	Tenant  string        `help:"Check only this tenant." placeholder:"NAME"`
	Timeout time.Duration `env:"-" help:"Timeout of each vendor." default:"15s"`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `Signs in to each vendor, with a new token where the vendor has a token endpoint, and sends requests that only
read:

  Adaxes           searches an object that does not exist, by its account name and by markerAttribute
  Exchange Online  reads the accepted domains and one page of mailboxes
  EnPower          reads one page of mailboxes
  LDAP directory   reads its base
  Hosted Exchange  has no request that reads: its URL gets a GET, and its credentials are not tried

What cannot be checked without a change is said beside the result.

  mailwright doctor /etc/mailwright/mailwright.yaml
  mailwright doctor --tenant contoso --json

Exit codes: 0 all is well; 1 a vendor is not; 2 the configuration is wrong.`
}

// Finding is the result of one check.
type Finding struct {
	Tenant string `json:"tenant"`
	Vendor string `json:"vendor"`
	OK     bool   `json:"ok"`
	// Kind of the failure, and the vendor's code; empty where all is well.
	Kind string `json:"kind,omitempty"`
	Code string `json:"code,omitempty"`
	// Text says what was seen, or what is wrong and what to look at.
	Text   string `json:"text"`
	Millis int64  `json:"tookMilliseconds"`
}

// Run checks every vendor at once.
func (c *Command) Run(ctx context.Context, a *app.App) error {
	file := c.File
	if file == "" {
		file = filepath.Join(a.StateDir(), stack.ConfigFile)
	}
	tenants, err := tenant.Load(file)
	if err != nil {
		return app.Usage("%w", err)
	}
	if c.Tenant != "" && tenants[c.Tenant] == nil {
		return app.Usage("%s names no tenant %q", file, c.Tenant)
	}
	var checks []check
	for _, name := range tenants.Names() {
		if c.Tenant == "" || c.Tenant == name {
			checks = append(checks, checksOf(name, tenants[name], c.Timeout)...)
		}
	}
	findings := make([]Finding, len(checks))
	var wg sync.WaitGroup
	for i, check := range checks {
		wg.Go(func() { findings[i] = check.run(ctx, c.Timeout) })
	}
	wg.Wait()
	if err := show(a, findings); err != nil {
		return err
	}
	return resultOf(findings)
}

func (c check) run(ctx context.Context, timeout time.Duration) Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	seen, err := c.ask(ctx)
	f := Finding{
		Tenant: c.tenant,
		Vendor: c.vendor,
		OK:     err == nil,
		Text:   seen,
		Millis: time.Since(began).Milliseconds(),
	}
	if err != nil {
		e := failure.Of(err)
		f.Kind = string(e.Kind)
		f.Code = e.Code
		f.Text = e.Text + hints[e.Kind]
	}
	return f
}

// hints say where to look.
var hints = map[failure.Kind]string{
	failure.Refused:     "; look at the credentials, and at what the account may do",
	failure.Unavailable: "; look at the URL, the network and certificates, and at the credentials if it names them",
	failure.Throttled:   "; it answers, but is busy: try again later",
}

func show(a *app.App, findings []Finding) error {
	if a.JSON {
		return a.PrintJSON(map[string]any{"findings": findings})
	}
	t := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "TENANT\tVENDOR\tRESULT\tTIME\t")
	for _, f := range findings {
		result := "ok"
		if !f.OK {
			result = f.Kind
		}
		if f.Code != "" {
			f.Text += " (" + f.Code + ")"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d ms\t%s\n", f.Tenant, f.Vendor, result, f.Millis, f.Text)
	}
	return t.Flush()
}

func resultOf(findings []Finding) error {
	failed := 0
	for _, f := range findings {
		if !f.OK {
			failed++
		}
	}
	switch {
	case len(findings) == 0:
		return errors.New("no vendor is configured")
	case failed > 0:
		return fmt.Errorf("%d of %d checks failed", failed, len(findings))
	}
	return nil
}
