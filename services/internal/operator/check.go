package operator

import (
	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
)

// Check says what is wrong with a command before it is published, in the words in which its service
// would reject it: what is checked is the message itself. The error is that no message can be made
// of it, such as one without a tenant.
func Check(c client.Command) ([]event.Fault, error) {
	if faults := event.Check(c.Event); len(faults) > 0 { // before a key is derived from the data
		return faults, nil
	}
	m, _, err := c.Message()
	if err != nil {
		return nil, err
	}
	command, err := event.ReadCommand(m.Header, m.Data)
	if err != nil {
		return nil, err
	}
	return command.Check(), nil
}
