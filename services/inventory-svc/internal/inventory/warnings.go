package inventory

import (
	"fmt"

	"github.com/mailwright/mailwright/pkg/event"
)

// maxWarnings bounds the warnings of a result; the others are counted.
const maxWarnings = 100

// warnings are of rows and mailboxes that could not be read or published whole.
type warnings struct {
	first  []event.Warning
	others int
}

func (w *warnings) add(format string, args ...any) {
	if len(w.first) == maxWarnings {
		w.others++
		return
	}
	w.first = append(w.first, event.Warning{Text: fmt.Sprintf(format, args...)})
}

// list gives the warnings as the result has them; nil for none.
func (w *warnings) list() []event.Warning {
	if w.others == 0 {
		return w.first
	}
	return append(w.first, event.Warning{Text: fmt.Sprintf("%d more warnings like these", w.others)})
}

// label is how a warning calls a mailbox.
func label(name, id string) string {
	if name == "" {
		return fmt.Sprintf("mailbox %s", clip(id, maxName))
	}
	return fmt.Sprintf("mailbox %q (%s)", clip(name, maxName), clip(id, maxName))
}
