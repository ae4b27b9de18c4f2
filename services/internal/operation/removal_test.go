package operation_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

const password = "Zebra-Pass-1"

// hosted is a command with a password, on a key of its own.
func hosted(id, data string) *nats.Msg {
	m := with("type", event.TypeBusinessUserCreate, command(id, data))
	m.Subject = topology.CommandSubject("contoso", event.DomainDirectory, id)
	return m
}

// user is the data of such a command.
func user(name, secret string) string {
	return fmt.Sprintf(`{"container":"LDAP://OU=x","userPrincipalName":"%s@contoso.com","preferredDomainController":"d","isAdmin":false,"newPassword":%q}`, name, secret)
}

func created(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
	return operation.Reply{Type: event.TypeBusinessUserCreated, Data: event.BusinessUserCreatedData{Operation: run.Operation}}, nil
}

// allowPlain has tenant contoso take plain secrets.
func allowPlain(c *operation.Config) {
	c.Secrets = map[string]operation.Secrets{"contoso": {PlainAllowed: true}, "strict": {}}
}

// stored lists the ids of the commands in COMMANDS.
func (env *env) storedIDs() (ids []string) {
	env.Helper()
	for _, m := range env.messagesOn(topology.StreamCommands, ">") {
		ids = append(ids, m.Header.Get("ce-id"))
	}
	return ids
}

// TestCommandsWithSecretsLeaveAfterTheirOutcome: whatever becomes of them. Others stay, and so does
// one that a replay can bring back.
func TestCommandsWithSecretsLeaveAfterTheirOutcome(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDirectory, event.TypeBusinessUserCreate, operation.Handler{Perform: created}, allowPlain)
	misplaced := hosted("misplaced", `{"note":"`+password+`"}`)
	torn := hosted("", `{"newPassword":"`+password)
	torn.Header = nil
	conflicting := hosted("plain", user("other", password))
	conflicting.Subject = hosted("plain", "").Subject
	for _, m := range []*nats.Msg{
		hosted("plain", user("plain", password)), of("strict", hosted("rejected", user("rejected", password))), misplaced, torn,
		with("type", event.TypeDelegationChange, hosted("foreign", `{"password":"`+password+`"}`)),
	} {
		env.publish(m)
	}
	for _, id := range []string{"plain", "rejected", "misplaced", "foreign"} {
		env.outcome(id)
	}
	env.publish(conflicting)
	env.dead(operation.Conflict)
	env.dead(operation.Unreadable)
	env.publish(hosted("plain", user("plain", password))) // again: the record answers
	cancel := with("type", event.TypeOperationCancel, hosted("kept", `{"operationId":"fuom5ln32nj4obpm5vearkc6kh"}`))
	env.publish(with("dryrun", "true", cancel))
	env.outcome("kept")
	env.until("only what holds no secret is left", func() bool { return slices.Equal(env.storedIDs(), []string{"kept"}) })
	if n := env.count("plain"); n != 1 || env.deadLetters() != 2 {
		t.Errorf("%d events, %d dead letters", n, env.deadLetters())
	}
}

// TestCommandsOfOtherDomainsKeepWhatIsNoSecret: there, only a name tells of one.
func TestCommandsOfOtherDomainsKeepWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, j.perform)
	env.publish(command("plain", valid))
	env.publish(command("faulty", `{"mailbox":7}`))
	env.publish(command("secret", `{"mailbox":7,"newPassword":"`+password+`"}`))
	env.publish(with("userpassword", password, command("header", valid)))
	for _, id := range []string{"plain", "faulty", "secret", "header"} {
		env.outcome(id)
	}
	env.until("those with a secret have left", func() bool { return slices.Equal(env.storedIDs(), []string{"plain", "faulty"}) })
}

// TestSecretAge keeps a command with a secret until the recheck finds it old enough.
func TestSecretAge(t *testing.T) {
	t.Parallel()
	const age = 700 * time.Millisecond
	env := setupDomain(t, event.DomainDirectory, event.TypeBusinessUserCreate, operation.Handler{Perform: created}, allowPlain, recheckSoon,
		func(c *operation.Config) { c.SecretAge = age })
	env.publish(hosted("1", user("1", password)))
	env.publish(hosted("1", user("other", password)))
	torn := hosted("", `{"newPassword":"`+password)
	torn.Header = nil
	env.publish(torn)
	ended := env.outcome("1").Time()
	env.dead(operation.Conflict)
	env.dead(operation.Unreadable)
	env.until("the secrets are removed", func() bool { return len(env.storedIDs()) == 0 })
	if passed := time.Since(ended); passed < age {
		t.Errorf("removed after %v", passed)
	}
	env.rechecked()
	if env.deadLetters() != 2 {
		t.Errorf("%d dead letters", env.deadLetters())
	}
}

// TestTheRecheckRemovesWhatWasLeft: a process died, or JetStream was away, between the outcome and
// the removal. A service whose permissions are old leaves them too.
func TestTheRecheckRemovesWhatWasLeft(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDirectory)
	handler := operation.Handler{Perform: created}
	env.serve(event.TypeBusinessUserCreate, handler, allowPlain, func(c *operation.Config) { c.SecretAge = time.Hour })
	env.publish(hosted("1", user("1", password)))
	env.publish(of("strict", hosted("2", user("2", password))))
	env.outcome("1")
	env.outcome("2")
	env.stop()
	if ids := env.storedIDs(); len(ids) != 2 {
		t.Fatalf("left are %v", ids)
	}
	env.serve(event.TypeBusinessUserCreate, handler, allowPlain, recheckSoon)
	env.until("the secrets are removed", func() bool { return len(env.storedIDs()) == 0 })
	if n := env.rechecked(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestAReferenceOutlivesItsCommand: a process died after it had removed the command and before it
// removed what PARKED holds of it. Its operation has its outcome: nothing is lost.
func TestAReferenceOutlivesItsCommand(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDirectory)
	handler := operation.Handler{Perform: created}
	env.serve(event.TypeBusinessUserCreate, handler, allowPlain)
	env.publish(hosted("1", user("1", password)))
	m := env.stored(1)
	env.outcome("1")
	env.until("it has left", func() bool { return len(env.storedIDs()) == 0 })
	env.stop()
	a, _ := topology.ParseCommandSubject(m.Subject)
	id := event.OperationID("contoso", source, "1")
	env.publishRaw(topology.ParkedSubject(a), nil, fmt.Sprintf(`{"sequence":1,"incarnation":"x","operationId":%q,"partition":%d}`, id, a.Partition))
	env.wakeNow(a.Key, a.Partition)
	o := a
	o.Key = topology.OverflowKey(a.Partition)
	run := fmt.Sprintf(`{"sequence":1,"storedAt":%d,"key":%q,"type":%q,"operationId":%q}`, m.Time.UnixNano(), a.Key, event.TypeBusinessUserCreate, id)
	env.publishRaw(topology.ParkedSubject(o), nil, `{"commands":[`+run+`]}`)
	env.publishRaw(topology.WakeSubject(o), nil, "")
	env.serve(event.TypeBusinessUserCreate, handler, allowPlain)
	env.nothingQueued()
	if env.deadLetters() != 0 || env.count("1") != 1 {
		t.Errorf("%d dead letters, %d events", env.deadLetters(), env.count("1"))
	}
}

// TestWhatWaitsLosesItsSecretToo: a command that is parked and ends later; one that is cancelled
// before it is due, which nothing brings back.
func TestWhatWaitsLosesItsSecretToo(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDirectory, event.TypeBusinessUserCreate, operation.Handler{Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Operation.Attempt == 1 {
			return operation.Reply{}, throttledFor(1)
		}
		return created(ctx, run)
	}}, allowPlain)
	env.publish(hosted("parked", user("parked", password)))
	env.publish(with("notbefore", at(time.Hour), hosted("scheduled", user("scheduled", password))))
	env.until("it is scheduled", func() bool { return env.count("scheduled") == 1 })
	if ids := env.storedIDs(); !slices.Contains(ids, "scheduled") {
		t.Fatalf("stored are %v", ids)
	}
	cancel := fmt.Sprintf(`{"operationId":%q}`, event.OperationID("contoso", source, "scheduled"))
	env.publish(with("type", event.TypeOperationCancel, hosted("cancel", cancel)))
	env.outcome("scheduled")
	env.outcome("parked")
	env.until("the secrets are removed", func() bool { return slices.Equal(env.storedIDs(), []string{"cancel"}) })
	env.nothingQueued()
	if env.deadLetters() != 0 {
		t.Errorf("%d dead letters", env.deadLetters())
	}
}

// TestACommandInTheRecheckIsNoDeadLetter: JetStream tells of a message that is deleted while a
// consumer has it. The recheck has every young command.
func TestACommandInTheRecheckIsNoDeadLetter(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDirectory, event.TypeBusinessUserCreate, operation.Handler{Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		return created(ctx, run)
	}}, allowPlain, func(c *operation.Config) { c.RecheckAfter = time.Hour })
	advisories, err := env.js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.COMMANDS.>")
	if err != nil {
		t.Fatal(err)
	}
	const commands = 20
	for i := range commands {
		env.publish(hosted(fmt.Sprint(i), user(fmt.Sprint(i), password)))
	}
	env.until("all are removed", func() bool { return len(env.storedIDs()) == 0 })
	if _, err := advisories.NextMsg(outcomeTimeout); err != nil {
		t.Errorf("the server has told of none: %v", err)
	}
	if env.deadLetters() != 0 {
		t.Errorf("%d dead letters", env.deadLetters())
	}
	env.until("the consumers have let go", func() bool { return env.recheck().NumAckPending == 0 })
}
