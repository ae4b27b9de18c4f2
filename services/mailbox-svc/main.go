// mailbox-svc creates Exchange mailboxes through Adaxes.
package main

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/worker"
	"github.com/mailwright/mailwright/services/mailbox-svc/internal/mailbox"
)

func main() {
	worker.Main(event.DomainMailbox, "Creates Exchange mailboxes (Adaxes) from commands on mailwright.cmd.<tenant>.mailbox.<key>.", mailbox.Handlers)
}
