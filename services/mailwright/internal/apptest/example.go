package apptest

import (
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/schemas"
)

// Example is the example of an event type, as package schemas has it.
func Example(t *testing.T, eventType string) event.Event {
	t.Helper()
	raw, err := schemas.FS.ReadFile("examples/" + eventType + ".json")
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Decode(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
