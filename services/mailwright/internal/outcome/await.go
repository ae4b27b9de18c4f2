// Package outcome waits for the outcomes of published commands, and prints them.
package outcome

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Await prints the updates of published commands until each has its outcome: outcomes on standard
// output, the rest as progress on standard error. Its error, with an exit code, says that a command
// did not succeed, or has no outcome when ctx ends.
func Await(ctx context.Context, a *app.App, js jetstream.JetStream, receipts []client.Receipt) error {
	t := newTally(receipts)
	var printing error
	progress := app.NewLines(a.Err)
	err := client.AwaitAll(ctx, js, receipts, func(n client.Update) {
		t.count(n)
		if err := show(a, progress, n); err != nil {
			printing = err
		}
	})
	if err == nil {
		err = printing
	}
	return t.exitError(err)
}

// show prints one update: outcomes and their parts on standard output, the rest as progress.
func show(a *app.App, progress *app.Lines, n client.Update) error {
	if n.Dead != nil {
		line := render.LineOfDead(*n.Dead, n.Receipt.Domain)
		line.Operation = n.Receipt.OperationID
		return progress.Print("", line.Format(false))
	}
	result := n.Final() || n.State == event.StateReceived
	if result && a.JSON {
		return a.PrintJSON(n.Event)
	}
	line := render.LineOf(n.Event)
	if n.Final() {
		_, err := fmt.Fprintln(a.Out, line.Format(a.Colour()))
		return err
	}
	return progress.Print(line.Topic, line.Format(false))
}
