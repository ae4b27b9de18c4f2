// Package streams is `mailwright streams`: the streams and consumers that the services need.
package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/permissions"
	"github.com/mailwright/mailwright/services/internal/provision"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright streams`.
type Command struct {
	Plan  Plan  `cmd:"" help:"Show which streams and consumers are missing, and what would be changed."`
	Apply Apply `cmd:"" help:"Make the streams and consumers that are missing, and change those that differ."`
}

// settings are those of the services that the streams depend on, by the same names.
type settings struct {
	Partitions int           `help:"Parts into which the keys of a domain are spread, 1 to 64; 0: as many as there are, or 8." default:"0"`
	Replicas   int           `name:"stream-replicas" help:"Servers that hold each stream: 1, 3 or 5; 0: as many as there are, or 1." default:"0"`
	MaxBytes   int64         `name:"stream-max-bytes" help:"How large each stream that is made may grow, in bytes, where the section streams of the file says nothing; 0: unlimited." default:"0"`
	Timeout    time.Duration `env:"-" help:"How long to wait until NATS answers." default:"5s"`
}

// Plan is `mailwright streams plan`.
type Plan struct{ settings }

// Help implements kong.HelpProvider.
func (Plan) Help() string {
	return `Changes nothing. Age and size of each stream stand in the section streams of the file that --config names; docs/capacity.md has their bounds. What the file does not name stays as it is. The user of NATS is 'streams' of 'mailwright nats permissions'.

  mailwright streams plan --config mailwright.yaml --nats-nkey seeds/streams.nk

Exit codes: 0 everything is there, as it must be; 1 NATS is away; 2 a setting is out of its bounds; 4 something is missing, or differs.`
}

// Run shows the plan.
func (c *Plan) Run(ctx context.Context, a *app.App) error { return c.run(ctx, a, provision.Plan) }

// Apply is `mailwright streams apply`.
type Apply struct {
	settings
	app.ReasonFlag
}

// Help implements kong.HelpProvider.
func (Apply) Help() string {
	return `Makes and changes what 'mailwright streams plan' shows, while publishers and services run. What no server can change is shown with the remedy, and stays. It may be cut off and called again.

  mailwright streams apply --config mailwright.yaml --nats-nkey seeds/streams.nk
  mailwright streams apply --partitions 16 --nats-nkey seeds/streams.nk

With another number of partitions, commands that come from now on wait until those that came before are worked off; another call then removes the consumers that are left over.

Exit codes: 0 everything is there, as it must be; 1 NATS is away, or refuses; 2 a setting is out of its bounds; 4 something differs that could not be changed.`
}

// Run makes what is missing, and changes what differs.
func (c *Apply) Run(ctx context.Context, a *app.App) error {
	if err := c.CheckReason(""); err != nil {
		return err
	}
	return c.run(ctx, a, func(ctx context.Context, js jetstream.JetStream, wanted provision.Settings, tell func(provision.Item) error) error {
		return c.apply(ctx, a, js, wanted, tell)
	})
}

// apply makes what is missing and changes what differs, and has AUDIT tell of it. AUDIT itself is
// made before.
func (c *Apply) apply(ctx context.Context, a *app.App, js jetstream.JetStream, wanted provision.Settings, tell func(provision.Item) error) error {
	act := audit.Act{Action: audit.ApplyStreams, Reason: c.Reason}
	auditIsNew := false
	err := provision.Plan(ctx, js, wanted, func(i provision.Item) error {
		auditIsNew = auditIsNew || i.Name == topology.StreamAudit && i.State == provision.Missing
		if i.State == provision.Missing || i.State == provision.Differs {
			act.Targets, act.Count = append(act.Targets, i.Kind+" "+i.Name), act.Count+1
		}
		return nil
	})
	if err != nil {
		return err
	}
	if act.Count == 0 {
		return provision.Apply(ctx, js, wanted, tell)
	}
	if err := provision.ApplyStream(ctx, js, wanted, topology.StreamAudit); err != nil {
		return fmt.Errorf("stream %s: %w", topology.StreamAudit, err)
	}
	return a.RecorderAs(js, permissions.Streams).Record(ctx, act, func(done *audit.Tally) error {
		return provision.Apply(ctx, js, wanted, func(i provision.Item) error {
			if auditIsNew && i.Name == topology.StreamAudit {
				i.State = provision.Made
			}
			if i.State == provision.Made || i.State == provision.Changed {
				done.Add(1)
			}
			return tell(i)
		})
	})
}

// runTimeout is how long all of it may take.
const runTimeout = 2 * time.Minute

func (c settings) run(ctx context.Context, a *app.App, do func(context.Context, jetstream.JetStream, provision.Settings, func(provision.Item) error) error) error {
	limits, err := provision.Limits(a.Config)
	if err != nil {
		return app.Usage("%v", err)
	}
	wanted := provision.Settings{Config: topology.Config{Partitions: c.Partitions, Replicas: c.Replicas, MaxBytes: c.MaxBytes, Limits: limits}}
	if err := wanted.Check(); err != nil {
		return app.Usage("%v", err)
	}
	soon, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("given up after %v", c.Timeout))
	defer cancel()
	nc, js, err := a.ConnectAs(soon, permissions.Streams)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel = context.WithTimeoutCause(ctx, runTimeout, fmt.Errorf("given up after %v", runTimeout))
	defer cancel()
	t := tally{}
	if err := do(ctx, js, wanted, func(i provision.Item) error { return t.add(a, i) }); err != nil {
		if denied := bus.Denied(nc); denied != nil {
			err = denied
		}
		return err
	}
	return t.end(a)
}

// tally counts by state.
type tally map[provision.State]int

// add counts an item, and tells of it unless it is as it must be.
func (t tally) add(a *app.App, i provision.Item) error {
	t[i.State]++
	if a.JSON {
		return a.PrintJSON(i)
	}
	if i.State == provision.Unchanged {
		return nil
	}
	text := fmt.Sprintf("%-8s %s %s", i.State, i.Kind, i.Name)
	if i.Detail != "" {
		text += ": " + i.Detail
	}
	_, err := fmt.Fprintln(a.Out, text)
	return err
}

func (t tally) end(a *app.App) error {
	differ := t[provision.Differs] + t[provision.Stays]
	if !a.JSON {
		if _, err := fmt.Fprintf(a.Out, "%d as they must be, %d missing, %d made, %d changed, %d differ\n",
			t[provision.Unchanged], t[provision.Missing], t[provision.Made], t[provision.Changed], differ); err != nil {
			return err
		}
	}
	if n := t[provision.Missing] + differ; n > 0 {
		return &app.ExitError{Code: app.ExitDifferent, Err: fmt.Errorf("%d streams or consumers are not as they must be", n)}
	}
	return nil
}
