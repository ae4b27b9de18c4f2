package event_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/schemas"
)

type asyncAPI struct {
	AsyncAPI string `yaml:"asyncapi"`
	Channels map[string]struct {
		Address  string
		Stream   string `yaml:"x-jetstream-stream"`
		Messages map[string]struct {
			Ref string `yaml:"$ref"`
		}
	}
	Components struct {
		Messages map[string]struct {
			Name    string
			Payload struct {
				Schema struct {
					Ref string `yaml:"$ref"`
				}
			}
		}
	}
}

func TestAsyncAPIAgreesWithTypesSubjectsAndSchemas(t *testing.T) {
	t.Parallel()
	raw, err := schemas.FS.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc asyncAPI
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.AsyncAPI, "3.") {
		t.Errorf("AsyncAPI %q", doc.AsyncAPI)
	}
	var onChannels []string
	for name, c := range doc.Channels {
		for message, m := range c.Messages {
			onChannels = append(onChannels, message)
			if m.Ref != "#/components/messages/"+message {
				t.Errorf("channel %s: %s refers to %s", name, message, m.Ref)
			}
			if want, stream := address(message); c.Address != want || c.Stream != stream {
				t.Errorf("%s: on %s of %s, belongs on %s of %s", message, c.Address, c.Stream, want, stream)
			}
		}
	}
	slices.Sort(onChannels)
	want := slices.Sorted(slices.Values(slices.Concat(event.CommandTypes(), event.ResultTypes())))
	if diff := cmp.Diff(want, onChannels); diff != "" {
		t.Errorf("types without a channel (-) or unknown (+):\n%s", diff)
	}
	for name, m := range doc.Components.Messages {
		if m.Name != name || m.Payload.Schema.Ref != name+".json" || !slices.Contains(want, name) {
			t.Errorf("component %s: name %s, schema %s", name, m.Name, m.Payload.Schema.Ref)
		}
	}
}

// address gives the channel that a type belongs on.
func address(eventType string) (subject, stream string) {
	placeholder := func(s string) string {
		return strings.NewReplacer("KEY", "{key}", "OPERATION", "{operationid}", "TENANT", "{tenant}", "MAILBOX", "{mailbox}").Replace(s)
	}
	d := event.DomainOf(eventType)
	switch {
	case event.IsCommand(eventType):
		return placeholder(bus.CommandSubject(d, "KEY")), bus.Commands
	case eventType == event.MailboxObserved || eventType == event.MailboxMissing:
		return placeholder(bus.MailboxSubject("TENANT", "MAILBOX")), bus.Mailboxes
	default:
		return placeholder(bus.EventSubject(d, "OPERATION")), bus.Events
	}
}
