package act

import (
	"context"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/page"
	"github.com/mailwright/mailwright/services/internal/audit"
)

// SourceOf is the source of the commands that a person sends: /mailwright-console/<person>.
func SourceOf(p page.Person) string { return Source + "/" + url.PathEscape(p.Name) }

// sendTimeout bounds the sending of a command: a person waits for it.
const sendTimeout = 5 * time.Second

// Send stores a command of a person, and writes that to AUDIT. about is whom the command is about;
// reason goes with every event of the operation, as its ticket. See [Publish].
func Send(ctx context.Context, s page.Source, p page.Person, c client.Command, about, reason string) (client.Receipt, error) {
	c.SetTime(time.Now().UTC())
	c.SetSubject(about)
	event.Extend(&c.Event, event.Attribute{Name: event.AttrCorrelationID, Value: reason})
	return Publish(ctx, s, p, c, reason)
}

// Publish stores a command that is complete, and writes that to AUDIT. It does not wait for NATS:
// what is sent when NATS comes back would surprise whoever has turned away by then. The error says
// in words for a person what became of the command.
func Publish(ctx context.Context, s page.Source, p page.Person, c client.Command, reason string) (client.Receipt, error) {
	if s.NATS.Status() != nats.CONNECTED {
		return client.Receipt{}, page.Unavailable("The command was not sent: NATS does not answer. Nothing has changed; try again when it is back.")
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var receipt client.Receipt
	what := audit.Act{Action: audit.Send, Reason: reason, Tenants: []string{c.Tenant}, Operations: []string{c.OperationID()}, Count: 1}
	err := Record(ctx, s, p, what, func(done *audit.Tally) (err error) {
		if receipt, err = client.Send(ctx, s.JS, c); err == nil {
			done.Add(1)
		}
		return err
	})
	if _, told := page.Explain(err); err != nil && !told {
		s.Log.Warn("a command was not confirmed", "id", c.ID(), "error", err)
		return receipt, page.Unavailable("NATS did not confirm the command in time, and may have it or not. Send the same form again: it is carried out once.")
	}
	return receipt, err
}
