// directory-svc creates directory objects through Adaxes and business users through Hosted
// Exchange.
package main

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/directory-svc/internal/directory"
	"github.com/mailwright/mailwright/services/internal/worker"
)

func main() {
	worker.Main(event.DomainDirectory, "Creates directory objects (Adaxes) and hosted business users (Hosted Exchange) "+
		"from commands on mailwright.cmd.<tenant>.directory.<key>.", directory.Handlers)
}
