// Package streams is `mailwright streams`: the streams and consumers that the services need.
package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/audit"
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
func (c *Plan) Run(ctx context.Context, a *app.App) error {
	return c.run(ctx, a, func(context.Context, jetstream.JetStream, []found) error { return nil })
}

// Apply is `mailwright streams apply`.
type Apply struct {
	settings
	app.ReasonFlag
}

// Help implements kong.HelpProvider.
func (Apply) Help() string {
	return `Makes what 'mailwright streams plan' shows as missing. What differs is shown, and stays as it is.

  mailwright streams apply --nats-nkey seeds/streams.nk

Exit codes: 0 everything is there, as it must be; 1 NATS is away, or refuses; 4 something differs.`
}

// Run makes what is missing.
func (c *Apply) Run(ctx context.Context, a *app.App) error {
	if err := c.CheckReason(""); err != nil {
		return err
	}
	return c.run(ctx, a, func(ctx context.Context, js jetstream.JetStream, all []found) error { return c.apply(ctx, a, js, all) })
}

// apply makes what is missing, and has AUDIT tell of it. AUDIT itself is made before.
func (c *Apply) apply(ctx context.Context, a *app.App, js jetstream.JetStream, all []found) error {
	act := audit.Act{Action: audit.ApplyStreams, Reason: c.Reason}
	for _, f := range all {
		if f.State == missing {
			act.Targets, act.Count = append(act.Targets, f.kind+" "+f.name), act.Count+1
		}
	}
	if act.Count == 0 {
		return nil
	}
	isAudit := func(f found) bool { return f.kind == "stream" && f.name == topology.StreamAudit }
	if err := makeMissing(ctx, js, all, isAudit); err != nil {
		return err
	}
	return a.RecorderAs(js, permissions.Streams).Record(ctx, act, func(tally *audit.Tally) error {
		defer func() { tally.Add(countMade(all)) }()
		return makeMissing(ctx, js, all, func(found) bool { return true })
	})
}

// runTimeout is how long all of it may take.
const runTimeout = time.Minute

// found is a part, and what it is like at the server.
type found struct {
	part
	status
}

// run looks at every part, has change change some, and prints them all.
func (c settings) run(ctx context.Context, a *app.App, change func(context.Context, jetstream.JetStream, []found) error) error {
	soon, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("given up after %v", c.Timeout))
	defer cancel()
	nc, js, err := a.ConnectAs(soon, permissions.Streams)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel = context.WithTimeoutCause(ctx, runTimeout, fmt.Errorf("given up after %v", runTimeout))
	defer cancel()
	all, err := lookAtAll(ctx, js, parts(topology.Config{Partitions: c.Partitions, Replicas: c.Replicas, MaxBytes: c.MaxBytes}))
	if err != nil {
		return err
	}
	failure := change(ctx, js, all)
	var t tally
	for _, f := range all {
		if err := t.add(a, f); err != nil {
			return errors.Join(failure, err)
		}
	}
	if failure != nil {
		return failure
	}
	return t.end(a)
}

func lookAtAll(ctx context.Context, js jetstream.JetStream, parts []part) ([]found, error) {
	all := make([]found, len(parts))
	for i, p := range parts {
		s, err := p.look(ctx, js)
		if err != nil {
			return nil, p.explain(js, err)
		}
		all[i] = found{p, s}
	}
	return all, nil
}

// makeMissing makes the parts that are missing, and of which is holds.
func makeMissing(ctx context.Context, js jetstream.JetStream, all []found, is func(found) bool) error {
	for i, f := range all {
		if f.State != missing || !is(f) {
			continue
		}
		if err := f.create(ctx, js); err != nil {
			return f.explain(js, err)
		}
		all[i].State = made
	}
	return nil
}

// explain names the part that an error is about, and the permission that is missing.
func (p part) explain(js jetstream.JetStream, err error) error {
	if denied := bus.Denied(js.Conn()); denied != nil {
		err = denied
	}
	return fmt.Errorf("%s %s: %w", p.kind, p.name, err)
}

func countMade(all []found) (n int) {
	for _, f := range all {
		if f.State == made {
			n++
		}
	}
	return n
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
func (t *tally) add(a *app.App, f found) error {
	if *t == nil {
		*t = tally{}
	}
	(*t)[f.State]++
	if a.JSON {
		return a.PrintJSON(line{f.kind, f.name, f.status})
	}
	if f.State == unchanged {
		return nil
	}
	text := fmt.Sprintf("%-8s %s %s", f.State, f.kind, f.name)
	if f.Detail != "" {
		text += ": " + f.Detail
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
