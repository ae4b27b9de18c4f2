package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/secretsearch"
)

// sealedSystem is a running system whose tenant takes sealed secrets alone, with its files.
type sealedSystem struct {
	*testing.T
	*stack.Stack
	dir string
	js  jetstream.JetStream
}

// newIdentity makes a key, and reads it.
func newIdentity(t *testing.T) (text string, key sealed.Identities) {
	t.Helper()
	text, err := sealed.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if key, err = sealed.ParseIdentities(text); err != nil {
		t.Fatal(err)
	}
	return text, key
}

func startSealed(t *testing.T, identities string, traces *secretsearch.Collector, settings ...string) *sealedSystem {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	dir, err := os.MkdirTemp("", "mailwright-sealed-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres has a user of its own
		t.Fatal(err)
	}
	running, err := stack.Start(t.Context(), stack.Options{
		Dir: dir, Bin: bin, Identities: identities, Log: slog.New(slog.DiscardHandler), Services: []string{"directory-svc", "projection-svc"},
		Env: slices.Concat(settings, traces.Env(), []string{"MAILWRIGHT_LOG_LEVEL=debug"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &sealedSystem{T: t, Stack: running, dir: dir}
	t.Cleanup(func() {
		_ = s.Stop()
		if t.Failed() {
			t.Logf("the files are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	nc, err := nats.Connect(running.Endpoints.NATS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return s
}

// hosted publishes a create with a password as it is written, and returns its outcome.
func (s *sealedSystem) hosted(id, password string) client.Outcome {
	s.Helper()
	value, err := json.Marshal(password)
	if err != nil {
		s.Fatal(err)
	}
	m := command{id, event.TypeBusinessUserCreate, id, fmt.Sprintf(`{"container":"LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com",
		"userPrincipalName":"%s@alpineskihouse.com","preferredDomainController":"AD01.fabrikam.com","isAdmin":false,"newPassword":%s}`, id, value)}.message()
	if _, err := s.js.PublishMsg(s.Context(), m); err != nil {
		s.Fatal(err)
	}
	return s.outcome(id)
}

// outcome waits for the outcome of a command.
func (s *sealedSystem) outcome(id string) client.Outcome {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), waitTimeout)
	defer cancel()
	outcome, err := client.Await(ctx, s.js, client.Receipt{Tenant: "contoso", Domain: event.DomainDirectory, OperationID: event.OperationID("contoso", source, id)})
	if err != nil {
		s.Fatal(err)
	}
	return outcome
}

// byClient publishes a create with a plain password as programs of Go do: the client seals it.
func (s *sealedSystem) byClient(id, password string) client.Outcome {
	s.Helper()
	cmd, err := client.New("contoso", source, id, event.BusinessUserCreateData{
		Container: "LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com", UserPrincipalName: id + "@alpineskihouse.com",
		PreferredDomainController: "AD01.fabrikam.com", NewPassword: password,
	})
	if err != nil {
		s.Fatal(err)
	}
	cmd.Sealer = sealed.Sealer{}
	if _, err := client.Send(s.Context(), s.js, cmd); err != nil {
		s.Fatal(err)
	}
	return s.outcome(id)
}

func (s *sealedSystem) expect(what string, got client.Outcome, want event.State, words ...string) {
	s.Helper()
	if got.State != want {
		s.Errorf("%s ends as %s", what, got)
	}
	for _, w := range words {
		if !strings.Contains(string(got.Event.Data()), w) {
			s.Errorf("%s is not answered with %q: %s", what, w, got)
		}
	}
}

// holding lists the files of the system that hold a text, in one of the forms in which programs
// write one. The sandbox's own files are the vendor's.
func (s *sealedSystem) holding(text string) []string {
	s.Helper()
	all, err := secretsearch.Files(s.dir, text)
	if err != nil {
		s.Fatal(err)
	}
	if all.Files < 100 { // Postgres alone has more
		s.Errorf("only %d files were searched", all.Files)
	}
	return all.In[text]
}

// TestSealedSecrets: a sealed password reaches the vendor and no file of ours, a plain one is
// rejected and leaves COMMANDS. Every byte that NATS, Postgres and the programs have written is
// searched. [TestPlainSecretsLeaveNoTrace] shows that the search finds what is there.
func TestSealedSecrets(t *testing.T) {
	t.Parallel()
	first, firstKey := newIdentity(t)
	second, secondKey := newIdentity(t)
	_, foreignKey := newIdentity(t)
	traces := newCollector(t)
	s := startSealed(t, first, traces)
	seal := func(password, id string, to sealed.Identities) string {
		t.Helper()
		text, err := sealed.Seal(password, event.OperationID("contoso", source, id), to.Recipients()...)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	s.expect("a sealed create", s.hosted("sealed", seal("Zebra-Seal-1", "sealed", firstKey)), event.StateSucceeded)
	// The vendor judges the password itself: the text of the age file would be good enough.
	s.expect("a weak one", s.hosted("weak", seal("zebraweakseal", "weak", firstKey)), event.StateFailed, "the password breaks the domain's policy")
	s.expect("one to another key", s.hosted("foreign", seal("Zebra-Seal-3", "foreign", foreignKey)), event.StateRejected, `"field":"/newPassword"`, sealed.ErrOtherKey.Error(), "mailwright secrets recipients")
	s.expect("one of another operation", s.hosted("replayed", seal("Zebra-Seal-4", "sealed", firstKey)), event.StateRejected, `"field":"/newPassword"`, sealed.ErrOtherOperation.Error())
	s.expect("a plain one", s.hosted("plain", "Plain-Pass-5"), event.StateRejected, `"field":"/newPassword"`, "must be sealed")

	s.expect("one to a key to come", s.hosted("early", seal("Zebra-Seal-6", "early", secondKey)), event.StateRejected, sealed.ErrOtherKey.Error())
	keys := filepath.Join(s.dir, stack.IdentitiesFile)
	if err := os.WriteFile(keys, []byte(second+first), 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect("one to the new key", s.hosted("new", seal("Zebra-Seal-7", "new", secondKey)), event.StateSucceeded)
	s.expect("one to the old key", s.hosted("old", seal("Zebra-Seal-8", "old", firstKey)), event.StateSucceeded)

	s.expect("a plain one while no key is published", s.byClient("unpublished", "Plain-Pass-9"), event.StateRejected, "must be sealed")
	m := &nats.Msg{Subject: topology.RecipientsSubject("contoso"), Data: []byte(secondKey.Recipients()[0].String() + "\n")}
	if _, err := client.Store(t.Context(), s.js, m); err != nil {
		t.Fatal(err)
	}
	s.expect("one that the client seals", s.byClient("client", "Zebra-Seal-10"), event.StateSucceeded)

	// The projections have read everything, and the spans have been sent.
	e := &env{T: t}
	e.eventually(func(context.Context) string {
		if strings.Count(traces.Text(), "hostedexchange CreateBusinessUser") < 5 {
			return "the traces lack calls"
		}
		return ""
	})
	e.eventually(func(context.Context) string {
		if len(s.holding(event.OperationID("contoso", source, "client"))) < 3 {
			return "the last operation is not in the files of NATS, Postgres and a log"
		}
		return ""
	})
	if err := s.Stop(); err != nil { // everything is written
		t.Error(err)
	}
	for _, password := range []string{
		"Zebra-Seal-1", "zebraweakseal", "Zebra-Seal-3", "Zebra-Seal-4", "Zebra-Seal-6", "Zebra-Seal-7", "Zebra-Seal-8", "Zebra-Seal-10", "Plain-Pass-5", "Plain-Pass-9", "BEGIN AGE",
	} {
		s.expectAbsent(password, traces)
	}
}

// expectAbsent searches the files and the traces for a text.
func (s *sealedSystem) expectAbsent(text string, traces *secretsearch.Collector) {
	s.Helper()
	if found := s.holding(text); len(found) > 0 {
		s.Errorf("%s is in %v", text, found)
	}
	if strings.Contains(traces.Text(), text) {
		s.Errorf("%s is in the traces", text)
	}
}

// TestPlainSecretsLeaveNoTrace: where plain secrets are allowed, none is found after its outcome in
// what NATS, Postgres and the programs have written. Before, and while --secret-age has not passed,
// the same search finds it in COMMANDS, and nowhere else.
func TestPlainSecretsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	traces := newCollector(t)
	s := startSealed(t, "", traces)
	kept := startSealed(t, "", traces, "MAILWRIGHT_SECRET_AGE=1h")
	for _, system := range []*sealedSystem{s, kept} {
		system.expect("a plain create", system.hosted("alex", "Zebra-Pass-1"), event.StateSucceeded)
		system.expect("a weak one", system.hosted("dana", "zebraweakpass"), event.StateFailed)
		m := command{"misplaced", event.TypeBusinessUserCreate, "misplaced", `{"note":"Zebra-Pass-3"}`}.message()
		if _, err := system.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		system.expect("one with a misplaced secret", system.outcome("misplaced"), event.StateRejected)
		m.Header, m.Data = nil, []byte(`{"newPassword":"Zebra-Pass-4`)
		if _, err := system.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	e := &env{T: t, js: s.js}
	e.eventually(func(context.Context) string {
		if n := e.stored(topology.StreamCommands); n > 0 {
			return fmt.Sprintf("%d commands are stored", n)
		}
		if len(s.holding(event.OperationID("contoso", source, "misplaced"))) < 3 {
			return "the last operation is not in the files of NATS, Postgres and a log"
		}
		return ""
	})
	for _, system := range []*sealedSystem{s, kept} {
		if err := system.Stop(); err != nil { // everything is written
			t.Error(err)
		}
	}
	for _, password := range []string{"Zebra-Pass-1", "zebraweakpass", "Zebra-Pass-3", "Zebra-Pass-4"} {
		s.expectAbsent(password, traces)
		found := kept.holding(password)
		if len(found) == 0 {
			t.Errorf("the search does not find %s, which is in COMMANDS", password)
		}
		for _, name := range found {
			if !strings.Contains(name, topology.StreamCommands) {
				t.Errorf("%s is in %s", password, name)
			}
		}
	}
}
