package event_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
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
			if !belongs(message, c.Address, c.Stream) {
				t.Errorf("%s does not belong on %s of %s", message, c.Address, c.Stream)
			}
		}
	}
	slices.Sort(onChannels)
	onChannels = slices.Compact(onChannels) // what every domain takes stands on several
	want := slices.Sorted(slices.Values(event.Types()))
	if diff := cmp.Diff(want, onChannels); diff != "" {
		t.Errorf("types without a channel (-) or unknown (+):\n%s", diff)
	}
	for name, m := range doc.Components.Messages {
		if m.Name != name || m.Payload.Schema.Ref != name+".json" || !slices.Contains(want, name) {
			t.Errorf("component %s: name %s, schema %s", name, m.Name, m.Payload.Schema.Ref)
		}
	}
}

// belongs reports whether a type belongs on a channel; those of operation.* belong to every domain.
func belongs(eventType, address, stream string) bool {
	placeholder := strings.NewReplacer("KEY", "{key}", "OPERATION", "{operationid}", "TENANT", "{tenant}", "MAILBOX", "{mailbox}", "USER", "{user}", "ACT", "{act}").Replace
	if eventType == event.TypeMailboxObserved || eventType == event.TypeMailboxMissing {
		return address == placeholder(topology.MailboxSubject("TENANT", "MAILBOX")) && stream == topology.StreamMailboxes
	}
	if eventType == event.TypeDelegationDrift {
		return address == placeholder(topology.DriftSubject("TENANT", "MAILBOX")) && stream == topology.StreamDrift
	}
	if eventType == event.TypeDeadLetter {
		return address == placeholder(topology.DeadSubject("TENANT", "{domain}", "OPERATION")) && stream == topology.StreamDead
	}
	if slices.Contains(event.AuditTypes(), eventType) {
		return address == placeholder(topology.AuditSubject("USER", "ACT")) && stream == topology.StreamAudit
	}
	for _, d := range event.Domains() {
		if own := event.DomainOf(eventType); own != "" && own != d {
			continue
		}
		if event.IsCommand(eventType) && address == placeholder(topology.CommandSubject("TENANT", d, "KEY")) && stream == topology.StreamCommands {
			return true
		}
		if !event.IsCommand(eventType) && address == placeholder(topology.EventSubject("TENANT", d, "OPERATION")) && stream == topology.StreamEvents {
			return true
		}
	}
	return false
}
