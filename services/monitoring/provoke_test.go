package monitoring

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/testprograms"
)

// bin holds the programs.
var bin string

func TestMain(m *testing.M) {
	// This module is tested outside the workspace, and the programs are built within it.
	if err := os.Unsetenv("GOWORK"); err != nil {
		panic(err)
	}
	os.Exit(testprograms.Run(func(dir string) int {
		bin = dir
		return m.Run()
	}))
}

// notProvoked are the alerts that [TestAlertsByProvokingThem] does not provoke, with the reason.
// [TestEachAlertFires] shows that their rules fire on such series.
var notProvoked = map[string]string{
	"MailwrightCommandsWaitLong":      "a command would have to wait for an hour: its age is that of its message in NATS",
	"MailwrightRecheckLags":           "a command would have to be rechecked 15 minutes late",
	"MailwrightPartitionHeldTwice":    "NATS grants a lease to one replica: two that hold it for minutes would be a fault of this code or of NATS",
	"MailwrightPostgresPoolExhausted": "a program uses fewer connections at once than its pool has, also while a table is locked, as the test has it: a leak alone would exhaust the pool",
}

// provocation is how alerts are made to fire on a running system, and what puts it right.
type provocation struct {
	alerts          []string
	provoke, repair func(*watched)
}

var provocations = []provocation{
	{[]string{"MailwrightDeadLetters"}, (*watched).publishUnreadable, nil},
	{[]string{"MailwrightMessagesWithoutRows"}, (*watched).publishUnprojectable, nil},
	{[]string{"MailwrightOutcomesFail"}, (*watched).failCommands, (*watched).clearFaults},
	{[]string{"MailwrightVendorCredentialsRefused"}, (*watched).refuseCredentials, (*watched).clearFaults},
	{[]string{"MailwrightVendorCircuitOpen"}, (*watched).breakConnections, (*watched).clearFaults},
	{[]string{"MailwrightProjectionLags"}, (*watched).waitForLag, (*watched).unlock},
	{[]string{"MailwrightNATSDisconnected"}, func(w *watched) { w.kill(testkit.NATS) }, func(w *watched) { w.restart(testkit.NATS) }},
	{[]string{"MailwrightLeasesLost"}, nil, nil}, // by the restart of NATS
	{[]string{"MailwrightProgramDown"}, func(w *watched) { w.kill("inventory-svc") }, func(w *watched) { w.restart("inventory-svc") }},
	{[]string{"MailwrightNATSPermissionDenied"}, (*watched).startAsAnotherUser, (*watched).stopOther},
	{[]string{"MailwrightProjectionHalted"}, (*watched).makeStreamAgain, (*watched).rebuild},
	{[]string{"MailwrightPartitionWithoutLease", "MailwrightBacklogNotShrinking"}, (*watched).takeLeases, (*watched).giveLeasesBack},
}

// TestAlertsByProvokingThem provokes alerts on a running system, one after the other, and reads
// /metrics of its programs until each fires, as Prometheus would. While it fires, the commands of
// its runbook are run. Then its cause is put right, and it has to end.
//
// The samples' clock runs faster than the real one: a scrape stands for half a minute. So an alert
// that asks for five minutes fires after ten scrapes of a state that goes on.
func TestAlertsByProvokingThem(t *testing.T) {
	w := watch(t)
	known := maps.Clone(notProvoked)
	w.lock() // what waits for the rows becomes old while the first alerts are provoked
	w.quiet(20 * time.Minute)
	for _, p := range provocations {
		for _, alert := range p.alerts {
			known[alert] = "provoked"
		}
		w.carryOut(p)
	}
	for alert := range notProvoked {
		w.runRunbook(alert)
	}
	for _, r := range readAlerts(t) {
		if known[r.Alert] == "" {
			t.Errorf("%s is neither provoked nor is a reason given", r.Alert)
		}
	}
}

func (w *watched) carryOut(p provocation) {
	w.Helper()
	began := time.Now()
	since := func() time.Duration { return time.Since(began).Round(100 * time.Millisecond) }
	if p.provoke != nil {
		before := w.turn()
		for _, alert := range p.alerts {
			if len(before[alert]) > 0 {
				w.Errorf("%s fires before it is provoked", alert)
			}
		}
		p.provoke(w)
	}
	for _, alert := range p.alerts {
		said := w.await(alert)
		w.Logf("%s fires after %s: %s", alert, since(), said[0])
	}
	for _, alert := range p.alerts {
		w.runRunbook(alert)
	}
	if p.repair != nil {
		p.repair(w)
	}
	for _, alert := range p.alerts {
		w.awaitEnd(alert)
		w.Logf("%s ends after %s", alert, since())
	}
}

// watched is a running system with somebody who watches it as Prometheus does.
type watched struct {
	*testing.T
	*testkit.System
	*scraper
	alerts   *alerting
	env      []string // of the commands in runbooks
	locked   func()   // ends the lock of the rows
	lockedAt time.Time
	other    *exec.Cmd
	foreign  *nats.Subscription
}

func watch(t *testing.T) *watched {
	t.Helper()
	system := testkit.Start(t, testkit.WithBackend(testkit.Embedded), testkit.WithPrograms(bin),
		testkit.WithLog(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))))
	w := &watched{T: t, System: system, scraper: newScraper(t, maps.Clone(system.Endpoints.Services))}
	w.alerts = newAlerting(t, w.samples)
	w.env = append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"MAILWRIGHT_NATS_URL="+system.Endpoints.NATS, "MAILWRIGHT_DATABASE_URL="+system.Endpoints.Postgres)
	return w
}

func (w *watched) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// turn reads all programs once and evaluates all alerts.
func (w *watched) turn() map[string][]string {
	w.Helper()
	w.scrape(w.Context())
	found, err := w.alerts.firing(w.Context(), w.now, w.now, interval)
	w.must(err)
	return found
}

// quiet watches for a while in which no alert may fire.
func (w *watched) quiet(span time.Duration) {
	w.Helper()
	for range span / interval {
		if found := w.turn(); len(found) > 0 {
			w.Fatalf("a healthy system fires %v", found)
		}
	}
}

const provokeTimeout = 2 * time.Minute

// await watches until an alert fires, and gives what it says.
func (w *watched) await(alert string) []string {
	w.Helper()
	var found map[string][]string
	for began := time.Now(); time.Since(began) < provokeTimeout; {
		if found = w.turn(); len(found[alert]) > 0 {
			if said := fmt.Sprint(found[alert]); strings.Contains(said, "<no value>") || strings.Contains(said, "<error") {
				w.Errorf("%s says: %s", alert, said)
			}
			return found[alert]
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.Fatalf("%s does not fire, but %v", alert, found)
	return nil
}

func (w *watched) awaitEnd(alert string) {
	w.Helper()
	for began := time.Now(); time.Since(began) < provokeTimeout; time.Sleep(20 * time.Millisecond) {
		if found := w.turn(); len(found[alert]) == 0 {
			return
		}
	}
	w.Fatalf("%s does not end", alert)
}

// read is a command that reads the delegates of a mailbox, on a key of its own.
func read(mailbox string) testkit.Command {
	return testkit.NewCommand(event.DelegationReadData{Mailbox: mailbox})
}

// lock has the rows of operations written no longer.
func (w *watched) lock() {
	w.Helper()
	tx, err := w.DB.Begin(w.Context())
	w.must(err)
	_, err = tx.Exec(w.Context(), "LOCK TABLE mailwright.operations IN ACCESS EXCLUSIVE MODE")
	w.must(err)
	w.locked = func() { w.must(tx.Rollback(w.Context())) }
}

func (w *watched) unlock() { w.locked() }

func (w *watched) waitForLag() {
	for time.Since(w.lockedAt) < 62*time.Second {
		time.Sleep(time.Second)
	}
}

func (w *watched) publishUnreadable() {
	w.lockedAt = time.Now()
	_, err := w.JetStream.PublishMsg(w.Context(), &nats.Msg{Subject: topology.CommandSubject(testkit.Tenant, event.DomainDelegation, "x"), Data: []byte("{}")})
	w.must(err)
	w.setLetter()
}

// setLetter lets the commands of runbooks name the last dead letter.
func (w *watched) setLetter() {
	w.Helper()
	for {
		dead, err := w.JetStream.Stream(w.Context(), topology.StreamDead)
		w.must(err)
		if last := dead.CachedInfo().State.LastSeq; last > 0 {
			w.env = append(w.env, fmt.Sprint("LETTER=", last))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// publishUnprojectable stores an observation of a mailbox that nobody can read.
func (w *watched) publishUnprojectable() {
	_, err := w.JetStream.PublishMsg(w.Context(), &nats.Msg{Subject: topology.MailboxSubject(testkit.Tenant, "x"), Data: []byte("{")})
	w.must(err)
}

func (w *watched) fail(f testkit.Fault) {
	w.Helper()
	w.must(w.Vendors.Fail(w.Context(), f))
}

func (w *watched) clearFaults() {
	w.Helper()
	w.must(w.Vendors.ClearFaults(w.Context()))
}

func (w *watched) failCommands() {
	w.fail(testkit.Fault{Vendor: "exchangeonline", Call: "Get-Mailbox", Kind: "status", Params: testkit.FaultParams{Status: 400}})
	for i := range 24 {
		c := read("alex@contoso.com")
		w.must(w.Publish(w.Context(), c))
		if i%12 == 0 {
			w.turn() // a counter that begins with its last value has not risen
		}
		outcome, err := w.AwaitOutcome(w.Context(), c)
		w.must(err)
		if outcome.State != event.StateFailed {
			w.Fatalf("%s: %s", outcome.State, outcome.Event.Data())
		}
		w.env = append(w.env, "OPERATION="+event.Extension(outcome.Event, event.AttrOperationID))
	}
}

func (w *watched) refuseCredentials() {
	w.must(w.Vendors.Control(w.Context(), http.MethodDelete, "tokens", nil, nil))
	w.fail(testkit.Fault{Vendor: "entra", Kind: "status", Params: testkit.FaultParams{Status: 401, Body: `{"error":"invalid_client","error_description":"the client secret has expired"}`}})
	w.must(w.Publish(w.Context(), read("alex@contoso.com")))
}

func (w *watched) breakConnections() {
	w.fail(testkit.Fault{Vendor: "exchangeonline", Kind: "reset", Params: testkit.FaultParams{When: "before"}})
	for i := range 40 {
		w.must(w.Publish(w.Context(), read(fmt.Sprintf("person%d@contoso.com", i))))
	}
}

func (w *watched) kill(part string) { w.must(w.Kill(part)) }

func (w *watched) restart(part string) { w.must(w.Restart(w.Context(), part)) }

// startAsAnotherUser has projection-svc led by a process with the key of another program.
func (w *watched) startAsAnotherUser() {
	w.kill("projection-svc")
	key, err := w.SeedFile("inventory-svc")
	w.must(err)
	w.other = exec.CommandContext(w.Context(), filepath.Join(bin, "projection-svc"), "--http", "127.0.0.1:0")
	w.other.Env = append(os.Environ(), "MAILWRIGHT_NATS_URL="+w.Endpoints.NATS, "MAILWRIGHT_DATABASE_URL="+w.Endpoints.Postgres, "MAILWRIGHT_NATS_NKEY="+key, "MAILWRIGHT_LOG_FORMAT=json")
	log, err := w.other.StderrPipe()
	w.must(err)
	w.must(w.other.Start())
	address := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Health string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Health != "" {
				address <- strings.TrimSuffix(line.Health, "/readyz")
			}
		}
		close(address)
	}()
	w.programs["projection-svc"] = <-address
}

func (w *watched) stopOther() {
	w.must(w.other.Process.Kill())
	_ = w.other.Wait()
	w.programs["projection-svc"] = w.Endpoints.Services["projection-svc"]
	w.restart("projection-svc")
}

// makeStreamAgain loses the stream DEAD, of which the rows know more than is left.
func (w *watched) makeStreamAgain() {
	dead, err := w.JetStream.Stream(w.Context(), topology.StreamDead)
	w.must(err)
	w.must(w.JetStream.DeleteStream(w.Context(), topology.StreamDead))
	_, err = w.JetStream.CreateStream(w.Context(), dead.CachedInfo().Config)
	w.must(err)
}

func (w *watched) rebuild() {
	w.run("mailwright projection rebuild --accept-loss --reason 'the test made DEAD again'")
}

// pullRequest is the part of a request for messages that names the group of a pinned client (NATS
// ADR-42).
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires"`
	Group   string        `json:"group"`
}

// group is the priority group of the consumers with a pinned client.
const group = "owner"

// takeLeases has a foreign client hold the leases of all partitions of inventory-svc, as somebody
// with a NATS tool may. It does nothing with the messages.
func (w *watched) takeLeases() {
	w.kill("inventory-svc")
	commands, err := w.JetStream.Stream(w.Context(), topology.StreamCommands)
	w.must(err)
	inbox := w.NATS.NewInbox()
	w.foreign, err = w.NATS.SubscribeSync(inbox)
	w.must(err)
	for consumer := range commands.ListConsumers(w.Context()).Info() {
		if !strings.HasPrefix(consumer.Name, "inventory-") || len(consumer.Config.PriorityGroups) == 0 {
			continue
		}
		request, err := json.Marshal(pullRequest{Batch: 1, Expires: 5 * time.Minute, Group: group})
		w.must(err)
		w.must(w.NATS.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+topology.StreamCommands+"."+consumer.Name, inbox, request))
	}
	w.restart("inventory-svc")
	var last jetstream.PubAckFuture
	for i := range 1600 {
		last, err = w.JetStream.PublishMsgAsync(&nats.Msg{Subject: topology.CommandSubject(testkit.Tenant, event.DomainInventory, fmt.Sprint("key", i)), Data: []byte("{}")})
		w.must(err)
	}
	select {
	case <-last.Ok():
	case err := <-last.Err():
		w.must(err)
	}
}

// giveLeasesBack ends the foreign client: what it took is redelivered at once, and its leases end.
func (w *watched) giveLeasesBack() {
	commands, err := w.JetStream.Stream(w.Context(), topology.StreamCommands)
	w.must(err)
	for {
		m, err := w.foreign.NextMsg(100 * time.Millisecond)
		if err != nil {
			break
		}
		if meta, err := m.Metadata(); err == nil { // else it is a status of the server
			w.must(m.Nak())
			w.must(commands.UnpinConsumer(w.Context(), meta.Consumer, group))
		}
	}
	w.must(w.foreign.Unsubscribe())
}
