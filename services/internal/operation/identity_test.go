package operation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// with gives a command one more attribute.
func with(attribute, value string, m *nats.Msg) *nats.Msg {
	m.Header["ce-"+attribute] = []string{value}
	return m
}

// at is a time from now, as an attribute says it.
func at(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }

// journal is what was carried out: the ids of commands, in order.
type journal struct {
	mu  sync.Mutex
	ids []string
}

// perform carries a command out.
func (j *journal) perform(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
	j.add(run.Command.ID())
	return changed(run)
}

func (j *journal) add(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ids = append(j.ids, id)
}

func (j *journal) list() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.ids)
}

// count is how often a command was carried out.
func (j *journal) count(id string) (n int) {
	for _, other := range j.list() {
		if other == id {
			n++
		}
	}
	return n
}

// wantRejected waits for the outcome of a command, which names a fault of a field.
func (env *env) wantRejected(m *nats.Msg, field, problem string) {
	env.Helper()
	e := env.outcomeOn(resultsOf(m))
	var data event.RejectedData
	if err := e.DataAs(&data); err != nil || e.Type() != event.RejectedType(env.domain) {
		env.Errorf("%s: ended as %s %s (%v), want a fault of %s", m.Header.Get("ce-id"), e.Type(), e.Data(), err, field)
		return
	}
	if !slices.ContainsFunc(data.Faults, func(f event.Fault) bool { return f.Field == field && strings.Contains(f.Problem, problem) }) {
		env.Errorf("%s: faults %v lack one of %s: %s", m.Header.Get("ce-id"), data.Faults, field, problem)
	}
}

func TestTenantIDIsThatOfTheSubject(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, j.perform)
	absent, equal, other := command("absent", valid), with("tenantid", "contoso", command("equal", valid)), with("tenantid", "fabrikam", command("other", valid))
	for _, m := range []*nats.Msg{absent, equal, other} {
		env.publish(m)
	}
	env.wantRejected(other, "tenantid", "must be the tenant of the subject, contoso, or absent")
	for _, id := range []string{"absent", "equal"} {
		if e := env.outcome(id); e.Type() != event.TypeDelegationChanged || event.Extension(e, event.AttrTenantID) != "contoso" {
			t.Errorf("%s: %s", id, e)
		}
	}
	if got := j.list(); !slices.Equal(got, []string{"absent", "equal"}) {
		t.Errorf("carried out %v", got)
	}
}

// TestTheSameIDOfTwoTenants: the operations of two tenants have nothing to do with each other.
func TestTheSameIDOfTwoTenants(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		j.add(run.Tenant)
		return changed(run)
	})
	messages := []*nats.Msg{command("1", valid), of("fabrikam", command("1", valid)), of("adatum", command("1", `{"mailbox":"alex@contoso.com","remove":["d@contoso.com"]}`))}
	for _, m := range messages {
		env.publish(m)
	}
	for i, tenant := range []string{"contoso", "fabrikam", "adatum"} {
		if e := env.outcomeOn(resultsOf(messages[i])); e.Type() != event.TypeDelegationChanged || event.Extension(e, event.AttrTenantID) != tenant || j.count(tenant) != 1 {
			t.Errorf("%s: %d calls, %s", tenant, j.count(tenant), e)
		}
	}
	if n := env.deadLetters(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestAPlanAnswersNoCommand: a plan and the command with the same id are two operations, whichever
// comes first.
func TestAPlanAnswersNoCommand(t *testing.T) {
	t.Parallel()
	var j journal
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: j.perform,
		Plan: func(context.Context, *operation.Attempt) (event.Plan, error) {
			return event.Plan{Target: "alex@contoso.com", Exists: true}, nil
		},
	})
	plan := func(id string) *nats.Msg { return with("dryrun", "true", command(id, valid)) }
	for _, m := range []*nats.Msg{plan("first"), command("first", valid), command("last", valid), plan("last")} {
		env.publish(m)
		want := event.TypeDelegationChanged
		if m.Header.Get("ce-dryrun") != "" {
			want = event.PlannedType(event.DomainDelegation)
		}
		if e := env.outcomeOn(resultsOf(m)); e.Type() != want {
			t.Errorf("%v: %s", m.Header, e)
		}
	}
	if got := j.list(); !slices.Equal(got, []string{"first", "last"}) || env.deadLetters() != 0 {
		t.Errorf("carried out %v, %d dead letters", got, env.deadLetters())
	}
}

// TestTheSameIDWithOtherConditionsConflicts: when a command may be carried out is a part of it.
func TestTheSameIDWithOtherConditionsConflicts(t *testing.T) {
	t.Parallel()
	past, later := "2026-01-02T03:04:05Z", "2036-01-02T03:04:05Z"
	var j journal
	env := setup(t, j.perform)
	change := func(id string) *nats.Msg { return on(id, command(id, valid)) }
	for id, c := range map[string]struct{ first, second *nats.Msg }{
		"notbefore added":    {change("notbefore added"), with("notbefore", past, change("notbefore added"))},
		"notbefore taken":    {with("notbefore", past, change("notbefore taken")), change("notbefore taken")},
		"notbefore changed":  {with("notbefore", past, change("notbefore changed")), with("notbefore", "2026-01-02T03:04:06Z", change("notbefore changed"))},
		"expirytime added":   {change("expirytime added"), with("expirytime", later, change("expirytime added"))},
		"expirytime changed": {with("expirytime", later, change("expirytime changed")), with("expirytime", "2037-01-02T03:04:05Z", change("expirytime changed"))},
	} {
		env.publish(c.first)
		env.outcome(id)
		env.publish(c.second)
		if l := env.deadWhere("of "+id, func(l event.DeadLetter) bool { return l.ID == id }); l.Reason != operation.Conflict || l.Stream != topology.StreamCommands || l.Tenant != "contoso" {
			t.Errorf("%s: %+v", id, l)
		}
		if j.count(id) != 1 || env.count(id) != 1 {
			t.Errorf("%s: %d calls, %d events", id, j.count(id), env.count(id))
		}
	}
}

// TestTheSameCommandSpelledAnotherWayIsTheSame: 512.0 is 512, and a time has many forms.
func TestTheSameCommandSpelledAnotherWayIsTheSame(t *testing.T) {
	t.Parallel()
	var j journal
	env := setupDomain(t, event.DomainDirectory, event.TypeObjectCreate, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		j.add(run.Command.ID())
		return operation.Reply{Type: event.TypeObjectCreated, Data: event.ObjectCreatedData{Operation: run.Operation, Object: event.DirectoryObject{DN: "CN=x"}}}, nil
	}})
	create := func(id, number, notbefore string) *nats.Msg {
		data := fmt.Sprintf(`{"createIn":"OU=x","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":["x"]},{"propertyName":"userAccountControl","propertyType":"Integer","values":[%s]}]}`, number)
		m := with("notbefore", notbefore, command(id, data))
		m.Subject = topology.CommandSubject("contoso", event.DomainDirectory, "x")
		return with("type", event.TypeObjectCreate, m)
	}
	for _, m := range []*nats.Msg{
		create("1", "512", "2026-01-02T03:04:05Z"), create("1", "512.0", "2026-01-02T03:04:05Z"), create("1", "5.12e2", "2026-01-02T04:04:05+01:00"),
		create("next", "512", "2026-01-02T03:04:05Z"),
	} {
		env.publish(m)
	}
	env.outcome("next")
	if e := env.outcome("1"); e.Type() != event.TypeObjectCreated {
		t.Errorf("%s", e)
	}
	if got := j.list(); !slices.Equal(got, []string{"1", "next"}) || env.deadLetters() != 0 {
		t.Errorf("carried out %v, %d dead letters", got, env.deadLetters())
	}
}

// TestTheSameMessageIDIsThePublishersAffair: two publishers may number their messages alike.
func TestTheSameMessageIDIsThePublishersAffair(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, j.perform)
	for _, id := range []string{"of hr", "of itsm"} {
		m := command(id, valid)
		m.Header[nats.MsgIdHdr] = []string{"4711"}
		env.publish(m)
		env.outcome(id)
		stored := env.stored(1).Time
		env.until("the window of JetStream has passed", func() bool { return time.Since(stored) > 150*time.Millisecond })
	}
	if got := j.list(); !slices.Equal(got, []string{"of hr", "of itsm"}) {
		t.Errorf("carried out %v", got)
	}
}
