package demo

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// examples are the vendors' own examples as commands, in the order of their pages. Where two
// collide on the page (both create John Smith), one is varied, and its subject says so.
//
//go:embed examples/*.json
var examples embed.FS

// run is one command of the demo and its outcome.
type run struct {
	number  int
	command event.Event
	receipt client.Receipt
	began   time.Time
	took    time.Duration
	state   event.State // received until there is an update
	text    string
}

func loadExamples() ([]*run, error) {
	names, err := fs.Glob(examples, "examples/*.json")
	if err != nil {
		return nil, err
	}
	var runs []*run
	for i, name := range names {
		raw, err := examples.ReadFile(name)
		if err != nil {
			return nil, err
		}
		e, err := event.Decode(nil, raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		runs = append(runs, &run{number: i + 1, command: e, state: event.StateReceived})
	}
	return runs, nil
}

// key gives commands that build on each other the same key: a group's manager and a mailbox's user
// must exist first. A key orders commands of one domain only, so the demo publishes in two rounds.
func key(r *run) string {
	switch event.DomainOf(r.command.Type()) {
	case event.DomainDirectory:
		if strings.HasPrefix(r.command.Type(), event.Prefix+"directory.object") {
			return "example.com"
		}
	case event.DomainDelegation:
		return "contoso.com"
	}
	return event.Key(r.command)
}

// carryOut publishes the commands and follows them to their outcomes.
func carryOut(ctx context.Context, a *app.App) ([]*run, error) {
	runs, err := loadExamples()
	if err != nil {
		return nil, err
	}
	nc, js, err := a.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	needsUsers := func(r *run) bool {
		return event.DomainOf(r.command.Type()) == event.DomainMailbox || event.DomainOf(r.command.Type()) == event.DomainInventory
	}
	first := slices.DeleteFunc(slices.Clone(runs), needsUsers)
	second := slices.DeleteFunc(slices.Clone(runs), func(r *run) bool { return !needsUsers(r) })
	for _, round := range [][]*run{first, second} {
		if err := carryOutRound(ctx, a, js, round); err != nil {
			return runs, err
		}
	}
	return runs, nil
}

// carryOutRound publishes one round and prints the updates until every command has its outcome, or
// ctx ends.
func carryOutRound(ctx context.Context, a *app.App, js jetstream.JetStream, round []*run) error {
	byOperation := map[string]*run{}
	var receipts []client.Receipt
	for _, r := range round {
		receipt, err := client.Send(ctx, js, client.Command{Event: r.command, Tenant: stack.SandboxTenant, Key: key(r)})
		if err != nil {
			return fmt.Errorf("command %d (%s): %w", r.number, r.command.Subject(), err)
		}
		r.receipt = receipt
		r.began = time.Now()
		byOperation[receipt.OperationID] = r
		receipts = append(receipts, receipt)
	}
	err := client.AwaitAll(ctx, js, receipts, func(n client.Update) {
		r := byOperation[n.Receipt.OperationID]
		if n.Dead != nil {
			r.state = event.StateFailed
			r.text = render.DescribeDead(*n.Dead)
			fmt.Fprintf(a.Err, "%2d  %s\n", r.number, r.text)
			return
		}
		r.state = n.State
		r.text = render.Describe(n.Event)
		r.took = time.Since(r.began)
		fmt.Fprintf(a.Err, "%2d  %s\n", r.number, render.LineOf(n.Event).Format(a.Colour()))
	})
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil // a command without an outcome counts against the demo in its last line
}

// printOutcomes shows every command's outcome.
func printOutcomes(a *app.App, runs []*run) error {
	fmt.Fprintln(a.Out)
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "#\tCOMMAND\tOUTCOME\tTIME\tVENDOR'S EXAMPLE")
	for _, r := range runs {
		took := r.took.Round(time.Millisecond)
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", r.number, render.Short(r.command.Type()), r.state, took, r.command.Subject())
	}
	return w.Flush()
}

// printSummary prints the demo's last line. Its error names the commands that did not succeed.
func printSummary(a *app.App, runs []*run) error {
	var failed []*run
	for _, r := range runs {
		if r.state != event.StateSucceeded {
			failed = append(failed, r)
		}
	}
	fmt.Fprintf(a.Out, "\ndemo: %d commands, %d succeeded, %d failed\n", len(runs), len(runs)-len(failed), len(failed))
	if len(failed) == 0 {
		return nil
	}
	var b strings.Builder
	for _, r := range failed {
		fmt.Fprintf(&b, "\n  command %d (%s) is %s: %s", r.number, r.command.Subject(), r.state, r.text)
	}
	return fmt.Errorf("not every command succeeded:%s", b.String())
}
