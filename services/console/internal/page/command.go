package page

import (
	"net/url"
	"time"

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
