package render

import (
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
)

// Short is a type without what all of ours have: mailbox.create for
// io.mailwright.mailbox.create.v1.
func Short(eventType string) string {
	return strings.TrimSuffix(strings.TrimPrefix(eventType, event.Prefix), ".v1")
}

// Long is the type that a short form stands for; another text stays as it is.
func Long(eventType string) string {
	if eventType == "" || strings.HasPrefix(eventType, event.Prefix) {
		return eventType
	}
	return event.Prefix + strings.TrimSuffix(eventType, ".v1") + ".v1"
}
