package operation_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestAWrongCommandIsRejectedWhenItArrives: it does not wait for anything, and no vendor is called.
func TestAWrongCommandIsRejectedWhenItArrives(t *testing.T) {
	t.Parallel()
	var j journal
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			j.add(run.Command.ID())
			return operation.Reply{}, throttledFor(3600)
		},
		Check: func(run *operation.Attempt) error {
			if run.Command.ID() == "unconfigured" {
				return operation.Reject("tenantid", "names no tenant that is configured")
			}
			return nil
		},
	}, func(c *operation.Config) { c.StrictKeys = map[string]bool{"strict": true} })
	env.publish(command("head", valid))
	env.until("the head waits", func() bool { return env.parked("alex") == 1 })
	for _, c := range []struct {
		message        *nats.Msg
		field, problem string
	}{
		{command("schema", `{"mailbox":7,"add":["d@contoso.com"]}`), "/mailbox", "must be string"},
		{with("type", "com.example.nonsense", command("type", valid)), "type", "is not a type"},
		{with("type", event.TypeMailboxCreate, command("domain", valid)), "type", "is carried out on mailwright.cmd.contoso.mailbox"},
		{with("tenantid", "fabrikam", command("tenant", valid)), "tenantid", "must be the tenant of the subject"},
		{with("dryrun", "maybe", command("dryrun", valid)), "dryrun", ""},
		{with("notbefore", "tomorrow", command("notbefore", valid)), "notbefore", ""},
		{with("expirytime", "2026-11-21", command("expirytime", valid)), "expirytime", ""},
		{command("unconfigured", valid), "tenantid", "names no tenant that is configured"},
		{of("strict", command("key", valid)), "key", "alex%40contoso%2Ecom"},
		{with("notbefore", at(patience), command("schema, scheduled", `{}`)), "/mailbox", "is missing"},
	} {
		env.publish(c.message)
		env.wantRejected(c.message, c.field, c.problem)
	}
	if got := j.list(); len(got) != 1 || env.parked("alex") != 1 || env.deadLetters() != 0 {
		t.Errorf("carried out %v, %d parked, %d dead letters", got, env.parked("alex"), env.deadLetters())
	}
}

// TestAnotherKeyThanTheRecommendedOne: every event of the operation warns of it, or it is rejected.
func TestAnotherKeyThanTheRecommendedOne(t *testing.T) {
	t.Parallel()
	recommended := event.Token("alex@contoso.com")
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			switch {
			case run.Operation.Attempt == 1 && strings.HasPrefix(run.Command.ID(), "lost"):
				return operation.Reply{}, lost
			case run.Operation.Attempt == 1:
				return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "not now"}
			}
			return changed(run)
		},
	}, func(c *operation.Config) { c.StrictKeys = map[string]bool{"strict": true} })
	for _, c := range []struct {
		message *nats.Msg
		warns   bool
		history []string
	}{
		{on("alex@contoso.com", command("recommended", valid)), false, []string{"waiting", "started", "changed"}},
		{on("blake@contoso.com", command("recommended, upper case", `{"mailbox":" Blake@Contoso.com","add":["d@contoso.com"]}`)), false, []string{"waiting", "started", "changed"}},
		{of("strict", on("alex@contoso.com", command("strict", valid))), false, []string{"waiting", "started", "changed"}},
		{on("other", command("other", valid)), true, []string{"waiting", "started", "changed"}},
		{on("Alex@contoso.com", command("other case", valid)), true, []string{"waiting", "started", "changed"}},
		{on("lost", command("lost", valid)), true, []string{"unknown", "started", "changed"}},
		{on("rejected", command("rejected", `{"mailbox":"alex@contoso.com"}`)), true, []string{"rejected"}},
	} {
		id := c.message.Header.Get("ce-id")
		env.publish(c.message)
		env.outcomeOn(resultsOf(c.message))
		var types []string
		for _, e := range env.eventsOn(resultsOf(c.message)) {
			types = append(types, strings.TrimSuffix(strings.TrimPrefix(e.Type(), event.Prefix+"delegation."), ".v1"))
			var data struct{ Operation event.OperationData }
			if err := json.Unmarshal(e.Data(), &data); err != nil {
				t.Fatal(err)
			}
			warned := len(data.Operation.Warnings) == 1 && strings.Contains(data.Operation.Warnings[0].Text, "the recommended key of this command is "+recommended)
			if warned != c.warns || len(event.Check(e)) > 0 {
				t.Errorf("%s: %s warns %v: %s %v", id, e.Type(), warned, e.Data(), event.Check(e))
			}
		}
		if strings.Join(types, " ") != strings.Join(c.history, " ") {
			t.Errorf("%s: history %v, want %v", id, types, c.history)
		}
	}
	strict := of("strict", on("other", command("strict, other", valid)))
	env.publish(strict)
	env.wantRejected(strict, "key", recommended)
}

// eventsOn are those of a subject.
func (env *env) eventsOn(subject string) (list []event.Event) {
	env.Helper()
	for _, m := range env.messagesOn(topology.StreamEvents, subject) {
		e, err := event.Decode(m.Header, m.Data)
		if err != nil {
			env.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// TestWhatHasNoRecommendedKeyMayHaveAny, also where keys are strict.
func TestWhatHasNoRecommendedKeyMayHaveAny(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDirectory, event.TypeObjectCreate, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{Type: event.TypeObjectCreated, Data: event.ObjectCreatedData{Operation: run.Operation, Object: event.DirectoryObject{DN: "CN=x"}}}, nil
	}}, func(c *operation.Config) { c.StrictKeys = map[string]bool{"contoso": true} })
	create := func(id, name string) *nats.Msg {
		m := command(id, `{"createIn":"OU=x","objectType":"user","properties":[{"propertyName":"`+name+`","propertyType":"String","values":["x"]}]}`)
		m.Subject = topology.CommandSubject("contoso", event.DomainDirectory, "any")
		return with("type", event.TypeObjectCreate, m)
	}
	named, nameless := create("named", "cn"), create("nameless", "description")
	env.publish(named)
	env.publish(nameless)
	env.wantRejected(named, "key", "the recommended key of this command is x")
	e := env.outcome("nameless")
	if e.Type() != event.TypeObjectCreated || strings.Contains(string(e.Data()), "warnings") {
		t.Errorf("%s", e)
	}
}
