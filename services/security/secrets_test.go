package security

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/secretsearch"
)

// What is published, and what the services know. Each row of sentPasswords is a way that a password
// can take.
var (
	sentPasswords = []struct {
		id, password string
		sealed       bool
		want         event.State
	}{
		{"plain", "Plain-Pass-1", false, event.StateRejected}, // while the tenant has published no key
		{"sealed", "Zebra-Seal-2", true, event.StateSucceeded},
		{"weak", "zebraweakseal", true, event.StateFailed}, // the vendor refuses it
	}
	credentials = []string{"adaxes-sandbox-token", "entra-sandbox-secret", "hosted-sandbox-password", "hosted-reader-password", "enpower-sandbox-secret"}
)

// secretsTimeout bounds each wait of the search.
const secretsTimeout = time.Minute

// searched is a running system that is searched, and what it writes.
type searched struct {
	*testing.T
	running *stack.Stack
	dir     string
	traces  *secretsearch.Collector
	key     string // that passwords are sealed to
	js      jetstream.JetStream
}

// places are the folders that programs of ours, NATS and Postgres write to. The others of the
// system hold its settings, and the sandbox's state, which is the vendor's.
var places = []string{"nats", "postgres", "logs"}

// TestNoSecretIsInAnyFileOrTrace sends passwords, sealed and plain, through a running system, and
// searches every byte that NATS, Postgres and the programs have written, the traces and the
// metrics. Then it writes secrets there on purpose, and searches again.
func TestNoSecretIsInAnyFileOrTrace(t *testing.T) {
	t.Parallel()
	s := startSearched(t)
	for _, p := range sentPasswords {
		if p.sealed {
			s.store(topology.RecipientsSubject("contoso"), s.key)
		}
		s.send(s.create(p.id, p.password), p.sealed, p.want)
	}
	// The other services use their credentials too.
	s.send(newCommand(t, "delegates", event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"megan.bowen@contoso.com"}}), false, event.StateSucceeded)
	s.send(newCommand(t, "mailboxes", event.InventorySyncData{}), false, event.StateSucceeded)
	s.await("the last operation in files of NATS, Postgres and a log", func() bool {
		found := strings.Join(s.search("", event.OperationID("contoso", "/security", "mailboxes")), " ")
		return !slices.ContainsFunc(places, func(place string) bool { return !strings.Contains(found, "is in "+place) })
	})
	s.await("the calls of each service in the traces", func() bool {
		text := s.traces.Text()
		return strings.Count(text, "hostedexchange CreateBusinessUser") >= 2 && strings.Contains(text, "exchangeonline Get-Mailbox") && strings.Contains(text, "enpower mailboxes")
	})
	s.await("that the commands with passwords have left COMMANDS", func() bool { return len(s.search("", sentPasswords[0].password)) == 0 })
	metrics := s.metrics()
	plants := s.plant()
	if err := s.running.Stop(); err != nil { // everything is written
		t.Error(err)
	}

	var faults []string
	for _, p := range sentPasswords {
		faults = append(faults, s.search(metrics, p.password)...)
	}
	for _, credential := range credentials {
		faults = append(faults, s.search(metrics, credential)...)
	}
	files, bytes := 0, int64(0)
	for _, place := range places {
		all, err := secretsearch.Files(filepath.Join(s.dir, place))
		if err != nil {
			t.Fatal(err)
		}
		files += all.Files
		bytes += all.Bytes
	}
	result := fmt.Sprintf("%d passwords and %d credentials; %d files (%d MB) of NATS, Postgres and logs, %d KB of traces and metrics",
		len(sentPasswords), len(credentials), files, bytes>>20, (len(s.traces.Text())+len(metrics))>>10)
	report.checked(t, checkSecrets, result, faults)
	report.proved(t, checkSecrets, "a plain password that is kept after its outcome (--secret-age 1h)", kept(t))
	for broken, p := range plants {
		report.proved(t, checkSecrets, broken, slices.DeleteFunc(s.search(metrics, p.text), func(place string) bool { return !strings.Contains(place, p.place) }))
	}
}

// kept is where a plain password stands after its outcome if the service is told to keep it.
func kept(t *testing.T) []string {
	t.Helper()
	s := startSearched(t, "MAILWRIGHT_SECRET_AGE=1h")
	p := sentPasswords[0]
	s.send(s.create(p.id, p.password), p.sealed, p.want)
	if err := s.running.Stop(); err != nil {
		t.Error(err)
	}
	return s.search("", p.password)
}

// create is a create of a user with a password.
func (s *searched) create(id, password string) client.Command {
	s.Helper()
	return newCommand(s.T, id, event.BusinessUserCreateData{
		Container: "LDAP://OU=alpineskihouse,OU=WH,OU=Hosting,DC=fabrikam,DC=com", UserPrincipalName: id + "@alpineskihouse.com",
		PreferredDomainController: "AD01.fabrikam.com", NewPassword: password,
	})
}

// startSearched starts the whole system, under its permissions, and with its most talkative logs.
func startSearched(t *testing.T, settings ...string) *searched {
	t.Helper()
	identity, err := sealed.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "mailwright-security-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // Postgres has a user of its own
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &searched{T: t, dir: dir, traces: secretsearch.NewCollector()}
	t.Cleanup(s.traces.Close)
	s.running, err = stack.Start(t.Context(), stack.Options{
		Dir: dir, Bin: bin, Identities: identity, Permissions: true, Log: slog.New(slog.DiscardHandler),
		Env: slices.Concat(s.traces.Env(), settings, []string{"MAILWRIGHT_LOG_LEVEL=debug", "OTEL_RESOURCE_ATTRIBUTES=planted=Zebra-Plant-4"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.running.Stop()
		if t.Failed() {
			t.Logf("the files are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	nc, err := nats.Connect(s.running.Endpoints.NATS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	key, err := sealed.ParseIdentities(identity)
	if err != nil {
		t.Fatal(err)
	}
	s.key = key.Recipients()[0].String() + "\n"
	return s
}

func (s *searched) store(subject, text string) {
	s.Helper()
	if _, err := client.Store(s.Context(), s.js, &nats.Msg{Subject: subject, Data: []byte(text)}); err != nil {
		s.Fatal(err)
	}
}

func newCommand[D client.Data](t *testing.T, id string, data D) client.Command {
	t.Helper()
	cmd, err := client.New("contoso", "/security", id, data)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// send publishes a command as a program of Go does, and awaits its outcome.
func (s *searched) send(cmd client.Command, seal bool, want event.State) {
	s.Helper()
	if seal {
		cmd.Sealer = sealed.Sealer{}
	}
	ctx, cancel := context.WithTimeout(s.Context(), secretsTimeout)
	defer cancel()
	receipt, err := client.Send(ctx, s.js, cmd)
	if err != nil {
		s.Fatal(err)
	}
	outcome, err := client.Await(ctx, s.js, receipt)
	if err != nil || outcome.State != want {
		s.Fatalf("%s ends as %v, %v; want %s", receipt.OperationID, outcome, err, want)
	}
}

// search lists the places that hold a text.
func (s *searched) search(metrics, text string) (found []string) {
	s.Helper()
	for _, place := range places {
		files, err := secretsearch.Files(filepath.Join(s.dir, place), text)
		if err != nil {
			s.Fatal(err)
		}
		for _, file := range files.In[text] {
			found = append(found, text+" is in "+filepath.Join(place, file))
		}
	}
	if strings.Contains(s.traces.Text(), text) {
		found = append(found, text+" is in the traces")
	}
	if strings.Contains(metrics, text) {
		found = append(found, text+" is in the metrics")
	}
	return found
}

func (s *searched) await(what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(secretsTimeout); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("not seen: %s; the traces have %d bytes", what, len(s.traces.Text()))
		}
	}
}

// metrics is what all services measure.
func (s *searched) metrics() string {
	s.Helper()
	var text strings.Builder
	for name, url := range s.running.Endpoints.Services {
		request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, url+"/metrics", nil)
		if err != nil {
			s.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			s.Fatalf("%s: %v", name, err)
		}
		_, err = io.Copy(&text, answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			s.Fatal(err)
		}
	}
	return text.String()
}

// planted is a text that was written on purpose, and the place where it must be found.
type planted struct{ text, place string }

// plant writes texts where a secret might get to, by what the system itself does.
func (s *searched) plant() map[string]planted {
	s.Helper()
	s.store(topology.DeadSubject("contoso", event.DomainDirectory, "planted"), `{"excerpt":"Zebra-Plant-1"}`)

	ctx, cancel := context.WithTimeout(s.Context(), secretsTimeout)
	defer cancel()
	db, err := pgx.Connect(ctx, s.running.Endpoints.Postgres)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := db.Exec(ctx, `CREATE TABLE planted AS SELECT 'Zebra-Plant-2' AS text`); err != nil {
		s.Fatal(err)
	}
	_ = db.Close(ctx)

	// A key is logged.
	m := &nats.Msg{Subject: topology.CommandSubject("contoso", event.DomainDirectory, "Zebra-Plant-3"), Data: []byte("{}"), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"planted"}, "ce-source": {"/security"}, "ce-type": {event.TypeBusinessUserCreate}, "content-type": {"application/json"},
	}}
	if _, err := client.Store(s.Context(), s.js, m); err != nil {
		s.Fatal(err)
	}
	plants := map[string]planted{
		"a secret in a message of DEAD":   {"Zebra-Plant-1", filepath.Join("streams", topology.StreamDead)},
		"a secret in a table of Postgres": {"Zebra-Plant-2", "postgres"},
		"a secret in a log":               {"Zebra-Plant-3", "logs"},
		"a secret in a trace":             {"Zebra-Plant-4", "traces"}, // see startSearched,
	}
	s.await("a planted key in a log", func() bool { return strings.Contains(strings.Join(s.search("", "Zebra-Plant-3"), " "), "is in logs") })
	return plants
}
