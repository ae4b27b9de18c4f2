// delegation-svc reads and changes send-on-behalf delegates through the Exchange Online Admin API.
package main

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/delegation-svc/internal/delegation"
	"github.com/mailwright/mailwright/services/internal/worker"
)

func main() {
	worker.Main(event.DomainDelegation, "Reads and changes send-on-behalf delegates (Exchange Online Admin API) "+
		"from commands on mailwright.cmd.<tenant>.delegation.<key>.", delegation.Handlers)
}
