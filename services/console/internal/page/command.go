package page

import (
	"context"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
)

// CommandSource is the source of the commands that a person sends from the console:
// /mailwright-console/<person>. A tenant's operators name /mailwright-console to let the console
// cancel what others sent.
func CommandSource(p Person) string { return "/mailwright-console/" + url.PathEscape(p.Name) }

// Asked completes a command that a person sends: when, whom it is about, and why, which is a ticket
// or a sentence and goes with every event of the operation.
func Asked(e *event.Event, about, why string) {
	e.SetTime(time.Now().UTC())
	e.SetSubject(about)
	if why != "" {
		event.Extend(e, event.Attribute{Name: event.AttrCorrelationID, Value: why})
	}
}

// sendTimeout bounds the sending of a command: a person waits for it.
const sendTimeout = 5 * time.Second

// Send stores a command, or says in words for a person that it did not. It does not wait for NATS:
// what is sent when NATS comes back would surprise whoever has turned away by then.
func Send(ctx context.Context, s Source, c client.Command) (client.Receipt, error) {
	if s.NATS.Status() != nats.CONNECTED {
		return client.Receipt{}, Unavailable("The command was not sent: NATS does not answer. Nothing has changed; try again when it is back.")
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	receipt, err := client.Send(ctx, s.JS, c)
	if err != nil {
		s.Log.Warn("a command was not confirmed", "id", c.ID(), "error", err)
		return receipt, Unavailable("NATS did not confirm the command in time, and may have it or not. Send the same form again: it is carried out once.")
	}
	return receipt, nil
}
