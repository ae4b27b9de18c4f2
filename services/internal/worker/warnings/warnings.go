// Package warnings puts vendors' warnings into the form that results have. It is not part of
// package worker, so that a service links the clients of its own vendors alone.
package warnings

import (
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
)

// OfAdaxes gives the entries of an operation's log that Adaxes marks as warnings. nil: none.
func OfAdaxes(messages []adaxes.Message) (out []event.Warning) {
	for _, m := range messages {
		out = append(out, event.Warning{Source: m.Source, Text: m.SafeText})
	}
	return out
}
