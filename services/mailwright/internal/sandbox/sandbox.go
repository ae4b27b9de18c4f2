// Package sandbox is `mailwright sandbox`: it controls the simulated vendors through their control
// API, which docs/sandbox.md describes.
package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright sandbox`.
type Command struct {
	URL   string `name:"sandbox-url" env:"MAILWRIGHT_SANDBOX_URL" help:"The sandbox; default: that of 'mailwright dev'." placeholder:"URL"`
	Token string `name:"control-token" env:"MAILWRIGHT_SANDBOX_CONTROL_TOKEN" help:"Bearer token of the sandbox." placeholder:"TOKEN"`
	CA    string `name:"sandbox-ca" env:"MAILWRIGHT_SANDBOX_CA" help:"File with the certificates of the authorities that the sandbox's certificate is checked against; default: the system's." placeholder:"FILE"`

	Seed       Seed       `cmd:"" help:"Begin again with the tenant that a file describes."`
	Reset      Reset      `cmd:"" help:"Begin again with the present seed: state, clock, switches, faults, journal."`
	Clock      Clock      `cmd:"" help:"Show the vendors' clock, or move it forward."`
	Scan       Scan       `cmd:"" help:"Let EnPower scan now."`
	Switches   Switches   `cmd:"" help:"Show what the vendors do where their pages are silent, or change it."`
	Faults     Faults     `cmd:"" help:"Show the faults that stand, add those of a script, or take all away."`
	Journal    Journal    `cmd:"" help:"Show what the vendors were asked."`
	Objects    Objects    `cmd:"" help:"Show what exists at the vendors."`
	Approvals  Approvals  `cmd:"" help:"Show what Adaxes has sent for approval, and grant or deny it."`
	Revoke     Revoke     `cmd:"" help:"Revoke every token that the vendors have issued."`
	Population Population `cmd:"" help:"Let EnPower make up mailboxes, up to millions."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `  mailwright sandbox faults services/conformance/testdata/faults/timeout-after.yaml --vendor adaxes --call create-object
  mailwright sandbox clock 31m
  mailwright sandbox switches exchangeonline.read-lag=30s
  mailwright sandbox journal --vendor hostedexchange --committed
  mailwright sandbox approvals --approve all

Exit codes: 0 done; 1 the sandbox does not answer or refuses; 2 a file or the call is wrong.`
}

// client is the control API of the sandbox that is meant.
func (c *Command) client(a *app.App) (sandboxapi.Client, error) {
	client := sandboxapi.Client{URL: c.URL, Token: c.Token, CA: c.CA}
	if client.URL == "" {
		e, err := a.Endpoints()
		if err != nil {
			return client, err
		}
		if client.URL = e.Sandbox; client.URL == "" {
			return client, app.Usage("no sandbox is known: is 'mailwright dev' running? --sandbox-url says where else it is")
		}
		client.CA = cmp.Or(client.CA, e.CA)
	}
	return client, nil
}

// do asks the sandbox that is meant; see [sandboxapi.Client.Do].
func (c *Command) do(ctx context.Context, a *app.App, method, path string, body, into any) error {
	client, err := c.client(a)
	if err != nil {
		return err
	}
	return client.Do(ctx, method, path, body, into)
}

// show prints an answer as rows below a heading, or as it came with --json. The cells may have
// texts of publishers.
func show(a *app.App, answer any, heading string, rows func(row func(cells ...any))) error {
	if a.JSON {
		return a.PrintJSON(answer)
	}
	t := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, heading)
	rows(func(cells ...any) {
		texts := make([]string, len(cells))
		for i, cell := range cells {
			texts[i] = render.OneLine(fmt.Sprint(cell))
		}
		_, _ = fmt.Fprintln(t, strings.Join(texts, "\t")) // Flush reports an error
	})
	return t.Flush()
}

// done says that something was done.
func done(a *app.App, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if a.JSON {
		return a.PrintJSON(map[string]any{"done": text})
	}
	_, err := fmt.Fprintln(a.Out, render.OneLine(text))
	return err
}

// Seed is `mailwright sandbox seed`.
type Seed struct {
	File string `arg:"" type:"existingfile" help:"Seed (YAML); services/sandbox/internal/seed/default.yaml is the example."`
}

// Run sends the seed.
func (c *Seed) Run(ctx context.Context, a *app.App, parent *Command) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return app.Usage("%w", err)
	}
	if err := parent.do(ctx, a, http.MethodPost, "seed", text, nil); err != nil {
		return err
	}
	return done(a, "the sandbox begins again with %s", c.File)
}

// Reset is `mailwright sandbox reset`.
type Reset struct{}

// Run resets.
func (c *Reset) Run(ctx context.Context, a *app.App, parent *Command) error {
	if err := parent.do(ctx, a, http.MethodPost, "reset", nil, nil); err != nil {
		return err
	}
	return done(a, "the sandbox begins again")
}

// Clock is `mailwright sandbox clock`.
type Clock struct {
	Advance time.Duration `arg:"" optional:"" help:"How far to move it forward, such as 31m: tokens and cursors expire, lags pass."`
}

// Run moves the clock, and shows it.
func (c *Clock) Run(ctx context.Context, a *app.App, parent *Command) error {
	method := http.MethodGet
	var advance any
	if c.Advance != 0 {
		method = http.MethodPost
		advance = map[string]string{"advance": c.Advance.String()}
	}
	var clock struct {
		Now time.Time `json:"now"`
	}
	if err := parent.do(ctx, a, method, "clock", advance, &clock); err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(clock)
	}
	return done(a, "%s", clock.Now.Format(time.RFC3339))
}

// Scan is `mailwright sandbox scan`.
type Scan struct{}

// Run scans.
func (c *Scan) Run(ctx context.Context, a *app.App, parent *Command) error {
	var answer struct{ Changed int }
	if err := parent.do(ctx, a, http.MethodPost, "scan", nil, &answer); err != nil {
		return err
	}
	return done(a, "EnPower has scanned; views that changed: %d", answer.Changed)
}

// Switches is `mailwright sandbox switches`.
type Switches struct {
	Set map[string]string `arg:"" optional:"" help:"NAME=VALUE to change."`
}

// Run changes switches, or shows them.
func (c *Switches) Run(ctx context.Context, a *app.App, parent *Command) error {
	if len(c.Set) > 0 {
		values := map[string]any{}
		for name, text := range c.Set {
			values[name] = text
			if text == "true" || text == "false" {
				values[name] = text == "true"
			}
		}
		if err := parent.do(ctx, a, http.MethodPut, "switches", values, nil); err != nil {
			return err
		}
		return done(a, "set: %d", len(values))
	}
	var all struct {
		Switches []struct {
			Name, Meaning, Source string
			Value, Default        any
		}
	}
	if err := parent.do(ctx, a, http.MethodGet, "switches", nil, &all); err != nil {
		return err
	}
	return show(a, all, "SWITCH\tVALUE\tDEFAULT\tMEANING", func(row func(...any)) {
		for _, s := range all.Switches {
			row(s.Name, s.Value, s.Default, s.Meaning)
		}
	})
}

// Faults is `mailwright sandbox faults`.
type Faults struct {
	File   string `arg:"" optional:"" type:"existingfile" help:"Script (YAML) of switches and faults to add."`
	Vendor string `env:"-" help:"Aim the script's faults at this vendor." placeholder:"NAME"`
	Call   string `env:"-" help:"Aim the script's faults at this call." placeholder:"NAME"`
	Clear  bool   `env:"-" help:"Take all faults away first."`
}

// Run clears, adds, or shows.
func (c *Faults) Run(ctx context.Context, a *app.App, parent *Command) error {
	client, err := parent.client(a)
	if err != nil {
		return err
	}
	if c.Clear {
		if err := client.Do(ctx, http.MethodDelete, "faults", nil, nil); err != nil {
			return err
		}
	}
	if c.File != "" {
		script, err := sandboxapi.ReadScript(c.File)
		if err != nil {
			return app.Usage("%w", err)
		}
		if err := client.Apply(ctx, script.At(c.Vendor, c.Call)); err != nil {
			return err
		}
	}
	var active struct {
		Faults []struct {
			sandboxapi.Fault
			ID, Struck int
		} `json:"faults"`
	}
	if err := client.Do(ctx, http.MethodGet, "faults", nil, &active); err != nil {
		return err
	}
	return show(a, active, "ID\tKIND\tVENDOR\tCALL\tMATCH\tLEFT\tSTRUCK\tPARAMS", func(row func(...any)) {
		for _, f := range active.Faults {
			left := "any"
			if f.Count > 0 {
				left = fmt.Sprint(f.Count)
			}
			params, _ := json.Marshal(f.Params) // texts and a number: never fails
			row(f.ID, f.Kind, orAny(f.Vendor), orAny(f.Call), orAny(f.Match), left, f.Struck, strings.Trim(string(params), "{}"))
		}
	})
}

// Journal is `mailwright sandbox journal`.
type Journal struct {
	Vendor    string `env:"-" help:"Of this vendor alone." placeholder:"NAME"`
	Call      string `env:"-" help:"Calls of this name alone." placeholder:"NAME"`
	Match     string `env:"-" help:"Calls alone whose target contains this." placeholder:"TEXT"`
	Committed bool   `env:"-" help:"Calls alone that changed the tenant."`
	Limit     int    `env:"-" help:"How many at most, the latest; 0: all." default:"50"`
}

// Run shows the calls, the oldest first.
func (c *Journal) Run(ctx context.Context, a *app.App, parent *Command) error {
	query := url.Values{"vendor": {c.Vendor}, "call": {c.Call}, "match": {c.Match}, "limit": {fmt.Sprint(c.Limit)}}
	if c.Committed {
		query.Set("committed", "true")
	}
	var page struct {
		Entries []struct {
			Sequence  uint64    `json:"sequence"`
			Time      time.Time `json:"time"`
			Vendor    string    `json:"vendor"`
			Call      string    `json:"call"`
			Target    string    `json:"target,omitempty"`
			Status    int       `json:"status"`
			Outcome   string    `json:"outcome"`
			Committed bool      `json:"committed"`
			Fault     string    `json:"fault,omitempty"`
		} `json:"entries"`
	}
	if err := parent.do(ctx, a, http.MethodGet, "journal?"+query.Encode(), nil, &page); err != nil {
		return err
	}
	return show(a, page, "TIME\tVENDOR\tCALL\tSTATUS\tOUTCOME\tFAULT\tTARGET", func(row func(...any)) {
		for _, e := range page.Entries {
			outcome := e.Outcome
			if e.Committed {
				outcome += " *"
			}
			row(e.Time.Local().Format(time.TimeOnly), e.Vendor, e.Call, e.Status, outcome, e.Fault, e.Target)
		}
	})
}

// orAny shows a filter that fits everything.
func orAny(text string) string {
	if text == "" {
		return "any"
	}
	return text
}
