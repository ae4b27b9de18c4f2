package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/migrations"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/process"
	"github.com/mailwright/mailwright/services/internal/projection"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// traffic publishes n messages of every kind, in a random order that a seed decides.
func (b *env) traffic(seed uint64, n int) {
	b.Helper()
	b.trafficOf(seed, n, max(10, n/20))
}

// trafficOf is traffic about a number of keys.
func (b *env) trafficOf(seed uint64, n, keys int) {
	b.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	types := append(event.ResultTypes(), event.CommandTypes()...)
	examples := map[string]event.Event{}
	for _, t := range types {
		examples[t] = example(b, t)
	}
	var futures []jetstream.PubAckFuture
	for range n {
		eventType := types[random.IntN(len(types))]
		key := fmt.Sprint(random.IntN(keys))
		e := of(examples[eventType].Clone(), "/test", key)
		var subject string
		switch domain := domainOf(eventType); {
		case random.IntN(50) == 0:
			subject = topology.DeadSubject("contoso", domain, key)
		case event.IsCommand(eventType):
			e.SetSource("/test")
			e.SetID(key)
			subject = topology.CommandSubject("contoso", domain, key)
		case eventType == event.TypeMailboxObserved || eventType == event.TypeMailboxMissing:
			subject = topology.MailboxSubject("contoso", key)
		default:
			subject = topology.EventSubject("contoso", domain, event.OperationID("contoso", "/test", key))
		}
		switch eventType {
		case event.TypeDelegationChanged:
			e = with(b, e, map[string]any{"mailbox": "M" + key, "delegates": []string{"a" + key, "b"}[:random.IntN(3)]})
		case event.TypeDelegationObserved:
			e = with(b, e, map[string]any{"complete": random.IntN(2) == 0, "readAt": []any{nil, "2026-11-21T09:00:00Z"}[random.IntN(2)], "mailboxes": []any{
				observedMailbox("m"+key, "m"+fmt.Sprint(random.IntN(20))+"@x", "d1", "d2"), observedMailbox("m"+fmt.Sprint(random.IntN(20)), "")}})
		}
		header, body, err := event.Encode(e, event.Binary)
		if err != nil {
			b.Fatal(err)
		}
		if random.IntN(40) == 0 && !strings.HasPrefix(subject, "mailwright.mailbox") {
			header, body = nil, []byte("broken")
		}
		f, err := b.js.PublishMsgAsync(&nats.Msg{Subject: subject, Header: header, Data: body})
		if err != nil {
			b.Fatal(err)
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			b.Fatal(err)
		}
	}
}

// calm gives the rows that an undisturbed run of its own gives.
func (b *env) calm(tuning projector.Tuning) string {
	b.Helper()
	db := newPool(b.T, newDatabase(b.T))
	_, stop := b.follow(db, tuning)
	b.caughtUp(db)
	stop()
	return b.dump(db)
}

func (b *env) wipe() {
	b.Helper()
	all := strings.Join(tableNames(b.Context(), b, b.db), ", mailwright.")
	if _, err := b.db.Exec(b.Context(), "TRUNCATE mailwright."+all); err != nil {
		b.Fatal(err)
	}
}

func TestReplayGivesTheSameRows(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	_, stop := b.follow(b.db, quick)
	b.traffic(1, 600) // while they are followed
	b.caughtUp(b.db)
	stop()
	first := b.dump(b.db)
	if !strings.Contains(first, "delegations: ") || strings.Contains(first, "delegations: 0") || strings.Contains(first, "projection_errors: 0") {
		t.Fatalf("the traffic did not reach every table:\n%.2000s", first)
	}
	for _, batch := range []int{1, 7, 5000} {
		tuning := quick
		tuning.MaxBatch = batch
		b.wipe()
		_, stop := b.follow(b.db, tuning)
		b.caughtUp(b.db)
		stop()
		if diff := cmp.Diff(first, b.dump(b.db)); diff != "" {
			t.Errorf("batches of %d:\n%s", batch, diff)
		}
	}
}

// TestManyRowsAreWrittenAsFewAre compares tables that were copied into with tables that got arrays.
func TestManyRowsAreWrittenAsFewAre(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	many, few := quick, quick
	many.MaxBatch, few.MaxBatch = 5000, 100
	for round := range uint64(2) { // the second has rows that are there
		b.trafficOf(10+round, 10_000, 1200)
		var observed []any
		for i := range 1000 {
			observed = append(observed, observedMailbox(fmt.Sprint("o", i), fmt.Sprint("o", i, "@x"), "d1", fmt.Sprint("d", round)))
		}
		b.result(with(t, of(example(t, event.TypeDelegationObserved), "/test", fmt.Sprint("many", round)), map[string]any{"readAt": nil, "mailboxes": observed}))
		_, stop := b.follow(b.db, many)
		b.caughtUp(b.db)
		copied := strings.Join(b.copiedInto(), " ")
		const want = "new_delegation_mailboxes new_delegations new_mailbox_inventory new_operation_events new_operations"
		if copied != want {
			t.Errorf("copied into %s, want %s", copied, want)
		}
		stop()
	}
	if diff := cmp.Diff(b.calm(few), b.dump(b.db)); diff != "" {
		t.Errorf("%.4000s", diff)
	}
}

// copiedInto lists the temporary tables of all connections.
func (b *env) copiedInto() (names []string) {
	b.Helper()
	rows, err := b.db.Query(b.Context(), "SELECT DISTINCT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r' ORDER BY 1")
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		b.Fatal(err)
	}
	return names
}

func TestNothingIsLostOrDoubledWhenItIsKilled(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.traffic(2, 1500)
	tuning := quick
	tuning.MaxBatch, tuning.Window = 10, time.Millisecond
	for range 15 {
		// Two replicas, each ended in the middle of whatever it is at.
		_, stop1 := b.follow(b.db, tuning)
		_, stop2 := b.follow(b.db, tuning)
		timer := time.NewTimer(time.Duration(5+rand.IntN(60)) * time.Millisecond)
		<-timer.C
		stop1()
		stop2()
	}
	_, stop := b.follow(b.db, tuning)
	b.caughtUp(b.db)
	stop()
	if diff := cmp.Diff(b.calm(quick), b.dump(b.db)); diff != "" {
		t.Errorf("killed (+) against calm (-):\n%s", diff)
	}
}

func TestConnectionsCutAtRandom(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	tuning := quick
	tuning.MaxBatch = 20
	b.follow(b.db, tuning)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.traffic(3, 1000)
	}()
	cutter := newPool(t, maintenanceURL()) // of another database, so that it does not cut itself
	for cutting := true; cutting; {
		select {
		case <-done:
			cutting = false
		case <-time.After(20 * time.Millisecond):
			if _, err := cutter.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", b.db.Config().ConnConfig.Database); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.caughtUp(b.db)
	if diff := cmp.Diff(b.calm(quick), b.dump(b.db)); diff != "" {
		t.Errorf("cut (+) against calm (-):\n%s", diff)
	}
}

// proxy passes connections on to an address, until cut ends those that are open.
func proxy(t *testing.T, to string) (address string, cut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, upstream)
			mu.Unlock()
			go func() { _, _ = io.Copy(upstream, client) }()
			go func() { _, _ = io.Copy(client, upstream) }()
		}
	}()
	return l.Addr().String(), func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
		open = nil
	}
}

// The server goes on, and with it the consumers: what it sends meanwhile is lost on the way.
func TestConnectionsToNATSCutAtRandom(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	address, cut := proxy(t, strings.TrimPrefix(b.nats.URL(), "nats://"))
	nc, err := nats.Connect("nats://"+address, nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if b.via, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	running, _ := b.follow(b.db, quick)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for round := range uint64(8) {
			b.traffic(70+round, 250)
		}
	}()
	for cutting := true; cutting; {
		select {
		case <-done:
			cutting = false
		case <-time.After(60 * time.Millisecond):
			cut()
		}
	}
	b.caughtUp(b.db)
	b.ready(running, "")
	b.via = b.js
	if diff := cmp.Diff(b.calm(quick), b.dump(b.db)); diff != "" {
		t.Errorf("cut (+) against calm (-):\n%s", diff)
	}
}

func TestNATSRestarts(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	running, _ := b.follow(b.db, quick)
	for round := range uint64(3) {
		b.traffic(10+round, 200)
		b.restartNATS(func() {})
	}
	b.traffic(20, 100)
	b.caughtUp(b.db)
	b.ready(running, "")
	if diff := cmp.Diff(b.calm(quick), b.dump(b.db)); diff != "" {
		t.Errorf("restarted (+) against calm (-):\n%s", diff)
	}
}

// restartNATS ends the server, does what is to be done to its files, and starts it again.
func (b *env) restartNATS(meanwhile func()) {
	b.Helper()
	port := natsPort(b.T, b.nats.URL())
	b.nats.Shutdown()
	meanwhile()
	var err error
	if b.nats, err = embedded.StartNATS(embedded.NATSConfig{StoreDir: b.dir, Port: port}); err != nil {
		b.Fatal(err)
	}
	for b.nc.FlushTimeout(time.Second) != nil { // connected again, to the new server
		time.Sleep(10 * time.Millisecond)
	}
}

func natsPort(t *testing.T, url string) (port int) {
	t.Helper()
	if _, err := fmt.Sscanf(url[strings.LastIndex(url, ":")+1:], "%d", &port); err != nil {
		t.Fatal(err)
	}
	return port
}

func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	dir, err := os.MkdirTemp("", "mw-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	own, err := embedded.StartPostgres(t.Context(), embedded.PostgresConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Stop() })
	if err := migrations.Migrate(t.Context(), own.URL()); err != nil {
		t.Fatal(err)
	}
	db := newPool(t, own.URL())
	port := int(db.Config().ConnConfig.Port)
	running, stop := b.follow(db, quick)
	for round := range uint64(3) {
		b.traffic(30+round, 200)
		if round == 1 {
			if err := syscall.Kill(own.PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-own.Done()
		} else if err := own.Stop(); err != nil {
			t.Fatal(err)
		}
		b.traffic(40+round, 50)
		if own, err = embedded.StartPostgres(t.Context(), embedded.PostgresConfig{Dir: dir, Port: port}); err != nil {
			t.Fatal(err)
		}
	}
	b.caughtUp(db)
	b.ready(running, "")
	stop()
	if diff := cmp.Diff(b.calm(quick), b.dump(db)); diff != "" {
		t.Errorf("restarted (+) against calm (-):\n%s", diff)
	}
}

// ready waits until the first projection that is not ready says part; "" waits until all are.
func (b *env) ready(running []*projector.Projector, part string) {
	b.Helper()
	var errs error
	for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		errs = nil
		for _, p := range running {
			errs = errors.Join(errs, p.Ready(b.Context()))
		}
		if (part == "" && errs == nil) || (part != "" && errs != nil && strings.Contains(errs.Error(), part)) {
			return
		}
	}
	b.Fatalf("ready: %v; want %q", errs, part)
}

func TestOneProcessLeads(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	tuning := quick
	tuning.MaxBatch = 5
	dbs := []*pgxpool.Pool{newPool(t, b.url), newPool(t, b.url), newPool(t, b.url)}
	stops := make([]func(), len(dbs))
	for i, db := range dbs {
		_, stops[i] = b.follow(db, tuning)
	}
	leaders := fmt.Sprintf(`{"locks": %d}`, len(projector.ByStream(projection.List())))
	const locks = "SELECT count(*) AS locks FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND granted AND datname = current_database()"
	for i := range dbs {
		b.traffic(50+uint64(i), 150)
		b.await(leaders, locks)
		stops[i]()
	}
	b.traffic(60, 50)
	b.await(`{"locks": 0}`, locks)
	_, stop := b.follow(b.db, tuning)
	b.caughtUp(b.db)
	stop()
	if diff := cmp.Diff(b.calm(quick), b.dump(b.db)); diff != "" {
		t.Errorf("handed over (+) against calm (-):\n%s", diff)
	}
}

func TestTheProgram(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := &config{Config: process.Config{HTTP: "127.0.0.1:0", StopTimeout: 20 * time.Second}, DatabaseURL: secret.New(b.url), Migrate: true}
	cfg.NATSURL = b.nats.URL()
	url, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- process.Run(ctx, "projection-svc", cfg, func(ctx context.Context, p *process.Process, cfg *config) error {
			url <- p.URL()
			return run(ctx, p, cfg)
		})
	}()
	b.result(example(t, event.TypeMailboxCreated))
	b.await(`{"state": "succeeded"}`, "SELECT state FROM mailwright_views.operations")
	base := <-url
	var body struct {
		Ready  bool
		Checks map[string]string
	}
	for deadline := time.Now().Add(waitTimeout); !body.Ready && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		res, err := http.Get(base + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if err := json.Unmarshal(raw, &body); err != nil {
			t.Fatal(err)
		}
	}
	if !body.Ready || body.Checks["projection operations"] != "ok" {
		t.Errorf("ready: %+v", body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
