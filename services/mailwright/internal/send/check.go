package send

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operator"
	"github.com/mailwright/mailwright/services/internal/render"
)

// check holds every command against the contract, before any is published. The error names every
// fault.
func (c *Command) check(commands []event.Event) error {
	var faults []string
	for i, e := range commands {
		for _, problem := range c.problems(e) {
			if len(commands) > 1 {
				problem = fmt.Sprintf("event %d (%s): %s", i+1, e.ID(), problem)
			}
			faults = append(faults, "\n  "+problem)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	text := "nothing was published:" + strings.Join(faults, "")
	if !c.NoCheck {
		text += "\n--no-check leaves the schemas to the services"
	}
	return errors.New(text)
}

// problems says what is wrong with a command, in the words in which its service would reject it:
// what is checked is the message itself.
func (c *Command) problems(e event.Event) []string {
	if !c.NoCheck && !event.IsCommand(e.Type()) {
		return []string{fmt.Sprintf("%s is no command; commands are %s", render.Short(e.Type()), strings.Join(shortTypes(), ", "))}
	}
	if c.NoCheck {
		if _, _, err := c.command(e).Message(); err != nil { // --no-check does not skip this
			return []string{err.Error()}
		}
		return nil
	}
	faults, err := operator.Check(c.command(e))
	if err != nil {
		return []string{err.Error()}
	}
	return texts(faults)
}

func texts(faults []event.Fault) (list []string) {
	for _, f := range faults {
		list = append(list, strings.TrimSpace(f.Field+" "+f.Problem))
	}
	return list
}
