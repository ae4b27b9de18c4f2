package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Approvals is `mailwright sandbox approvals`.
type Approvals struct {
	Approve string `env:"-" help:"Grant the request of this id, or all that are pending: all." placeholder:"ID" xor:"decision"`
	Deny    string `env:"-" help:"Deny the request of this id, or all that are pending: all." placeholder:"ID" xor:"decision"`
}

// Run decides, or shows what Adaxes has sent for approval.
func (c *Approvals) Run(ctx context.Context, a *app.App, parent *Command) error {
	for decision, id := range map[string]string{"approve": c.Approve, "deny": c.Deny} {
		if id == "" {
			continue
		}
		body := map[string]string{"decision": decision}
		if err := parent.do(ctx, a, http.MethodPost, "approvals/"+url.PathEscape(id), body, nil); err != nil {
			return err
		}
	}
	var page struct {
		Approvals []struct {
			ID        string    `json:"id"`
			Call      string    `json:"call"`
			Target    string    `json:"target"`
			State     string    `json:"state"`
			Requested time.Time `json:"requested"`
		} `json:"approvals"`
	}
	if err := parent.do(ctx, a, http.MethodGet, "approvals", nil, &page); err != nil {
		return err
	}
	return show(a, page, "ID\tSTATE\tCALL\tTARGET", func(row func(...any)) {
		for _, p := range page.Approvals {
			row(p.ID, p.State, p.Call, p.Target)
		}
	})
}

// Objects is `mailwright sandbox objects`.
type Objects struct {
	Kind  string `arg:"" help:"objects, mailboxes, groups, stores, views, approvals or billing."`
	Match string `env:"-" help:"Those alone that contain this text." placeholder:"TEXT"`
	Limit int    `env:"-" help:"How many at most; 0: all." default:"50"`
}

// Run shows what exists at the vendors, an object of JSON a line.
func (c *Objects) Run(ctx context.Context, a *app.App, parent *Command) error {
	var page map[string]json.RawMessage
	query := url.Values{"kind": {c.Kind}, "match": {c.Match}, "limit": {fmt.Sprint(c.Limit)}}
	if err := parent.do(ctx, a, http.MethodGet, "objects?"+query.Encode(), nil, &page); err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(page)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(page[c.Kind], &rows); err != nil {
		return err
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(a.Out, "%s\n", app.EscapeJSON(row)); err != nil {
			return err
		}
	}
	return nil
}

// Revoke is `mailwright sandbox revoke`.
type Revoke struct{}

// Run revokes every token that was issued.
func (c *Revoke) Run(ctx context.Context, a *app.App, parent *Command) error {
	if err := parent.do(ctx, a, http.MethodDelete, "tokens", nil, nil); err != nil {
		return err
	}
	return done(a, "every token that was issued is revoked")
}

// Population is `mailwright sandbox population`.
type Population struct {
	Count   int     `arg:"" help:"How many mailboxes EnPower makes up beside those of the tenant; 0: none."`
	Changed float64 `env:"-" placeholder:"SHARE" help:"Share of them, 0 to 1, that differ from what they are otherwise."`
	Removed float64 `env:"-" placeholder:"SHARE" help:"Share of them, 0 to 1, that are not listed."`
}

// Run sets the population.
func (c *Population) Run(ctx context.Context, a *app.App, parent *Command) error {
	population := map[string]any{"count": c.Count, "changed": c.Changed, "removed": c.Removed}
	if err := parent.do(ctx, a, http.MethodPost, "enpower/population", population, nil); err != nil {
		return err
	}
	return done(a, "EnPower makes up %d mailboxes", c.Count)
}
