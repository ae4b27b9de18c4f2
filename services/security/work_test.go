package security

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/permissions"
)

func TestTheProgramsDoTheirWorkUnderTheirPermissions(t *testing.T) {
	t.Parallel()
	s := withPermissions(t, "")
	s.carryOut("*")
	s.parkAndWake()
	s.operate()
	s.undenied()
}

// A server that takes acknowledgements on subjects with the account's hash differs in these alone.
func TestTheProgramsAcknowledgeInTheOtherFormToo(t *testing.T) {
	t.Parallel()
	s := withPermissions(t, v2Acknowledgements)
	for _, example := range []string{"01-user", "07-mailbox", "12-add-delegates", "16-inventory"} { // one of each domain
		s.carryOut(example)
	}
	s.parkAndWake()
	s.undenied()
}

// withPermissions runs the whole system on a server with the permissions.
func withPermissions(t *testing.T, further string) *system {
	t.Helper()
	users, seeds := written(t, "contoso", "contoso/mailbox")
	s := start(t, seeds, users, further)
	s.as(permissions.Streams, 4, "streams", "plan")
	s.as(permissions.Streams, 0, "streams", "apply")
	s.as(permissions.Streams, 0, "streams", "plan")
	s.run()
	return s
}

func (s *system) undenied() {
	s.Helper()
	for _, v := range s.log.all() {
		s.Errorf("NATS denied what a program needs: %s", v)
	}
}

// run starts the programs, each as its own user.
func (s *system) run() {
	s.Helper()
	dir, err := os.MkdirTemp("", "mailwright-security-") // Postgres' user must reach it
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		s.Fatal(err)
	}
	running, err := stack.Start(s.Context(), stack.Options{
		Dir: dir, Bin: bin, NATS: s.url, Volatile: true, Log: slog.New(slog.NewTextHandler(s.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		EnvOf: s.env,
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := running.Stop(); err != nil {
			s.Errorf("stop: %v", err)
		}
	})
	s.database = running.Endpoints.Postgres
}

const workTimeout = 40 * time.Second

// carryOut sends the vendors' own examples, which have a command of each type, as the publisher of
// their tenant, and awaits that each succeeds.
func (s *system) carryOut(pattern string) {
	s.Helper()
	files, err := filepath.Glob("../mailwright/internal/demo/examples/" + pattern + ".json")
	if err != nil || len(files) == 0 {
		s.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			s.Fatal(err)
		}
		e, err := event.Decode(nil, raw)
		if err != nil {
			s.Fatal(err)
		}
		s.succeeds("publisher-contoso", client.Command{Event: e})
	}
}

// succeeds sends a command as a user, which awaits its success.
func (s *system) succeeds(user string, c client.Command) {
	s.Helper()
	outcome, err := s.outcome(user, c)
	if err != nil || outcome.State != event.StateSucceeded {
		s.Errorf("%s by %s: %v, %v", c.ID(), user, outcome, err)
	}
}

func (s *system) outcome(user string, c client.Command) (client.Outcome, error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), workTimeout)
	defer cancel()
	js := s.jetStream(user)
	receipt, err := client.Send(ctx, js, c)
	if err != nil {
		return client.Outcome{}, err
	}
	return client.Await(ctx, js, receipt)
}

// parkAndWake sends a command that is not due yet: it is parked, woken by a schedule and carried
// out; and one that is cancelled while it waits.
func (s *system) parkAndWake() {
	s.Helper()
	command := func(id string, due time.Duration) client.Command {
		c, err := client.New("contoso", "/security", id, event.DelegationReadData{Mailbox: "alex@contoso.com"})
		if err != nil {
			s.Fatal(err)
		}
		c.SetExtension(event.AttrNotBefore, time.Now().Add(due).UTC().Format(time.RFC3339Nano))
		return c
	}
	s.succeeds("publisher-contoso", command("due-soon", time.Second))

	later := command("due-later", time.Hour)
	js := s.jetStream("publisher-contoso")
	if _, err := client.Send(s.Context(), js, later); err != nil {
		s.Fatal(err)
	}
	s.as(permissions.Operator, 0, "cancel", later.OperationID(), "--tenant", "contoso", "--domain", "delegation")
	ctx, cancel := context.WithTimeout(s.Context(), workTimeout)
	defer cancel()
	outcome, err := client.Await(ctx, js, client.Receipt{Tenant: "contoso", OperationID: later.OperationID()})
	if err != nil || outcome.State != event.StateCancelled {
		s.Errorf("the command that was cancelled: %v, %v", outcome, err)
	}
}

// operate has a command end in DEAD, and the operator do what operators do.
func (s *system) operate() {
	s.Helper()
	command := func(mailbox string) client.Command {
		c, err := client.New("contoso", "/security", "used", event.DelegationReadData{Mailbox: mailbox})
		if err != nil {
			s.Fatal(err)
		}
		return c
	}
	s.succeeds("publisher-contoso", command("alex@contoso.com"))
	if outcome, err := s.outcome("publisher-contoso", command("megan.bowen@contoso.com")); err == nil {
		s.Errorf("a second command with the same id: %v, want a dead letter", outcome)
	}
	operator := func(code int, args ...string) string { return s.as(permissions.Operator, code, args...) }
	if list := operator(0, "dead", "ls"); !strings.Contains(list, "idempotency-conflict") {
		s.Errorf("dead ls:\n%s", list)
	}
	operator(0, "dead", "show", "1")
	operator(0, "dead", "replay", "1", "--force", "--reason", "CHG-1")
	s.eventually("the replayed command ends in DEAD again", func() bool {
		return strings.Contains(operator(0, "dead", "ls"), "idempotency-conflict")
	})
	operator(0, "dead", "discard", "--all", "--yes", "--reason", "CHG-1")
	operator(0, "status")
	operator(0, "send", "delegation.read", "--tenant", "contoso", "--set", "mailbox=alex@contoso.com", "--wait")
	operator(0, "inventory", "sync", "--tenant", "contoso")
	operator(0, "projection", "status")
	operator(0, "projection", "verify")
	s.recipients()
	s.audited()

	reader := s.jetStream("reader-contoso")
	for _, source := range []client.Source{
		follow("EVENTS", "mailwright.evt.contoso.mailbox.*"), follow("DEAD", "mailwright.dead.contoso.delegation.*"),
		follow("MAILBOXES", "mailwright.mailbox.contoso.*"), follow("DRIFT", "mailwright.drift.contoso.delegation.*"),
	} {
		ctx, cancel := context.WithTimeout(s.Context(), workTimeout)
		if _, err := client.Follow(ctx, reader, source); err != nil {
			s.Errorf("a reader follows %s: %v", source.Stream, err)
		}
		cancel()
	}
}

// audited has a person act who has a user for himself, and an auditor read who did what.
func (s *system) audited() {
	s.Helper()
	s.as(permissions.PersonalOperator(person), 0, "send", "delegation.read", "--tenant", "contoso", "--set", "mailbox=alex@contoso.com", "--wait", "--reason", "CHG-2")
	seed, err := os.ReadFile(permissions.SeedFile(s.seeds, permissions.PersonalOperator(person)))
	if err != nil {
		s.Fatal(err)
	}
	pair, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		s.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		s.Fatal(err)
	}
	list := s.as(permissions.Auditor, 0, "audit", "--json", "--who", permissions.PersonalOperator(person))
	if strings.Count(list, "\n") != 1 || !strings.Contains(list, `"natsUser":"operator-alex"`) || !strings.Contains(list, `"reason":"CHG-2"`) || !strings.Contains(list, `"connectedAs":"`+public+`"`) {
		s.Errorf("the auditor reads\n%s", list)
	}
	for _, action := range []string{"cancel", "dead.discard", "dead.replay", "secrets.publish", "send"} {
		if list := s.as(permissions.Auditor, 0, "audit", "--action", action, "--who", permissions.Operator); !strings.Contains(list, action) {
			s.Errorf("the auditor reads nothing of %s", action)
		}
	}
	if list := s.as(permissions.Auditor, 0, "audit", "--who", permissions.Streams); !strings.Contains(list, "streams.apply") {
		s.Errorf("the auditor reads of the streams\n%s", list)
	}
}

// recipients has the operator publish the key to seal secrets to, and publishers read it.
func (s *system) recipients() {
	s.Helper()
	keys := filepath.Join(s.TempDir(), "keys")
	public := s.as(permissions.Operator, 0, "secrets", "keygen", keys)
	s.as(permissions.Operator, 0, "secrets", "publish", "--tenant", "contoso", "--identities", keys)
	ctx, cancel := context.WithTimeout(s.Context(), workTimeout)
	defer cancel()
	for _, user := range []string{"publisher-contoso", permissions.Operator} {
		js, ok := s.jetStream(user).(client.Requester)
		if !ok {
			s.Fatal("the recipients cannot be asked for")
		}
		if got, err := client.Recipients(ctx, js, "contoso"); err != nil || got != public {
			s.Errorf("%s reads %q, %v, want %q", user, got, err, public)
		}
	}
}

func follow(stream, filter string) client.Source {
	source := client.Source{Stream: stream}
	source.FilterSubjects = []string{filter}
	return source
}

func (s *system) eventually(what string, holds func() bool) {
	s.Helper()
	deadline := time.Now().Add(workTimeout)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			s.Errorf("not so within %v: %s", workTimeout, what)
			return
		}
		<-tick.C
	}
}
