// Package streams is `mailwright streams`: the streams and consumers that the services need.
package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/permissions"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright streams`.
type Command struct {
	Plan  Plan  `cmd:"" help:"Show which streams and consumers are missing, and which differ."`
	Apply Apply `cmd:"" help:"Make the streams and consumers that are missing."`
}

// settings are those of the services that the streams depend on, by the same names.
type settings struct {
	Partitions int           `help:"Parts into which the keys of a domain are spread; fixed once the streams exist." default:"8"`
	Replicas   int           `name:"stream-replicas" help:"Servers that hold each stream: 1, 3 or 5." default:"1"`
	MaxBytes   int64         `name:"stream-max-bytes" help:"How large each stream may grow, in bytes; 0: unlimited." default:"0"`
	Timeout    time.Duration `env:"-" help:"How long to wait until NATS answers." default:"5s"`
}

// Plan is `mailwright streams plan`.
type Plan struct{ settings }

// Help implements kong.HelpProvider.
func (Plan) Help() string {
	return `Changes nothing. The user of NATS is 'streams' of 'mailwright nats permissions'.

  mailwright streams plan --nats-nkey seeds/streams.nk

Exit codes: 0 everything is there, as it must be; 1 NATS is away; 4 something is missing, or differs.`
}

// Run shows the plan.
func (c *Plan) Run(ctx context.Context, a *app.App) error { return c.run(ctx, a, false) }

// Apply is `mailwright streams apply`.
type Apply struct{ settings }

// Help implements kong.HelpProvider.
func (Apply) Help() string {
	return `Makes what 'mailwright streams plan' shows as missing. What differs is shown, and stays as it is.

  mailwright streams apply --nats-nkey seeds/streams.nk

Exit codes: 0 everything is there, as it must be; 1 NATS is away, or refuses; 4 something differs.`
}

// Run makes what is missing.
func (c *Apply) Run(ctx context.Context, a *app.App) error { return c.run(ctx, a, true) }

// runTimeout is how long all of it may take.
const runTimeout = time.Minute

func (c settings) run(ctx context.Context, a *app.App, apply bool) error {
	soon, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("given up after %v", c.Timeout))
	defer cancel()
	nc, js, err := a.ConnectAs(soon, permissions.Streams)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel = context.WithTimeoutCause(ctx, runTimeout, fmt.Errorf("given up after %v", runTimeout))
	defer cancel()
	parts := parts(topology.Config{Partitions: c.Partitions, Replicas: c.Replicas, MaxBytes: c.MaxBytes})
	var t tally
	for _, p := range parts {
		s, err := p.look(ctx, js)
		if err == nil && s.State == missing && apply {
			s.State, err = made, p.create(ctx, js)
		}
		if err != nil {
			if denied := bus.Denied(nc); denied != nil {
				err = denied
			}
			return fmt.Errorf("%s %s: %w", p.kind, p.name, err)
		}
		if err := t.add(a, p, s); err != nil {
			return err
		}
	}
	return t.end(a)
}

// tally counts parts by their states.
type tally map[state]int

// line is a part as --json prints it.
type line struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	status
}

// add counts a part, and tells of it unless it is as it must be.
func (t *tally) add(a *app.App, p part, s status) error {
	if *t == nil {
		*t = tally{}
	}
	(*t)[s.State]++
	if a.JSON {
		return a.PrintJSON(line{p.kind, p.name, s})
	}
	if s.State == unchanged {
		return nil
	}
	text := fmt.Sprintf("%-8s %s %s", s.State, p.kind, p.name)
	if s.Detail != "" {
		text += ": " + s.Detail
	}
	_, err := fmt.Fprintln(a.Out, text)
	return err
}

func (t tally) end(a *app.App) error {
	if !a.JSON {
		if _, err := fmt.Fprintf(a.Out, "%d as they must be, %d missing, %d made, %d differ\n", t[unchanged], t[missing], t[made], t[differs]); err != nil {
			return err
		}
	}
	if n := t[missing] + t[differs]; n > 0 {
		return &app.ExitError{Code: app.ExitDifferent, Err: fmt.Errorf("%d streams or consumers are not as they must be", n)}
	}
	return nil
}
