// Package dead is `mailwright dead`: it lists, shows, replays and discards what ended in the stream
// DEAD.
package dead

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/deadletters"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// Command is `mailwright dead`.
type Command struct {
	Ls      List    `cmd:"" help:"List dead letters."`
	Show    Show    `cmd:"" help:"Show one dead letter and the message that it is about."`
	Replay  Replay  `cmd:"" help:"Publish the original commands again, and delete their dead letters."`
	Discard Discard `cmd:"" help:"Delete dead letters."`
}

// Help implements kong.HelpProvider.
func (Command) Help() string {
	return `A message that no service could handle ends in the stream DEAD, as a dead letter that gives the reason and refers
to the original:

  unreadable             no usable id, source or key, so there is nobody to answer
  idempotency-conflict   tenant, source and id of an earlier command, but other data
  expired                it waited longer than COMMANDS keeps commands
  outcome-unknown        whether it took effect cannot be read back: a person has to look
  acked-without-outcome  acknowledged by something other than a service, without an outcome
  record-unreadable      the record of its operation in EVENTS cannot be read
  reference-mismatch     the parked reference is to another command, as after a restore of COMMANDS
  internal               a fault of Mailwright itself
  max-deliveries         a consumer reached its maximum of deliveries
  terminated             something terminated it

Dead letters are numbered by their sequence in DEAD, as in the table mailwright.dead_letters. Postgres is not
needed.`
}

// open connects to NATS and opens the stream DEAD. The caller closes the connection.
func open(ctx context.Context, a *app.App) (*nats.Conn, *deadletters.Stream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, app.ServerTimeout, fmt.Errorf("given up after %v", app.ServerTimeout))
	defer cancel()
	nc, js, err := a.Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	stream, err := deadletters.Open(ctx, js)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, stream, nil
}
