package inventory

import (
	"fmt"

	"github.com/mailwright/mailwright/pkg/event"
)

// maxWarnings bounds the warnings in a result. The others are only counted.
const maxWarnings = 100

// warnings collects the warnings of a walk, such as about mailboxes that could not be published in
// full.
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

// list returns the warnings for the result; nil if there are none.
func (w *warnings) list() []event.Warning {
	if w.others == 0 {
		return w.first
	}
	return append(w.first, event.Warning{Text: fmt.Sprintf("%d more warnings like these", w.others)})
}

// label is the text for a mailbox in a warning.
func label(name, id string) string {
	if name == "" {
		return fmt.Sprintf("mailbox %s", clip(id))
	}
	return fmt.Sprintf("mailbox %q (%s)", clip(name), clip(id))
}
