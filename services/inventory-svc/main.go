// inventory-svc takes inventories of mailboxes through AvePoint EnPower.
package main

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/worker"
	"github.com/mailwright/mailwright/services/inventory-svc/internal/inventory"
)

func main() {
	worker.Main(event.DomainInventory, "Takes inventories of mailboxes (AvePoint EnPower) "+
		"from commands on mailwright.cmd.<tenant>.inventory.<key>.", inventory.Handlers)
}
