package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/replay"
)

func TestAStreamThatIsNotTheSameStopsTheProjection(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.result(example(t, event.TypeMailboxCreated))
	b.result(example(t, event.TypeMailboxCreated))
	running, stop := b.follow(b.db, quick)
	b.ready(running, "")
	b.caughtUp(b.db)
	before := b.dump(b.db)

	// Made again while it is followed, and longer than it was.
	if err := b.js.DeleteStream(t.Context(), topology.StreamEvents); err != nil {
		t.Fatal(err)
	}
	if err := topology.Ensure(t.Context(), b.js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		b.result(of(example(t, event.TypeMailboxCreated), "/test", fmt.Sprint(i)))
	}
	b.ready(running, "was made again")
	stop()
	running, stop = b.follow(b.db, quick)
	b.ready(running, "was made again") // also for one that starts now
	if diff := cmp.Diff(before, b.dump(b.db)); diff != "" {
		t.Errorf("the rows changed:\n%s", diff)
	}
	b.rebuiltWithLoss("was made again")
	b.ready(running, "")
	b.caughtUp(b.db)
	stop()
	b.await(`{"n": 5}`, "SELECT count(*) AS n FROM mailwright_views.operations")

	// The same stream, but shorter than what the rows reflect.
	b.exec("UPDATE mailwright.checkpoints SET sequence = 99 WHERE projection = 'operations'")
	running, _ = b.follow(b.db, quick)
	b.ready(running, "messages were lost")
	b.rebuiltWithLoss("messages were lost")
	b.ready(running, "")
	b.equal(b.verify(), "operations")
}

// rebuiltWithLoss finds that EVENTS lacks what the rows say: a verify compares the tables of other
// streams alone, a rebuild asks whether the loss is accepted, and then helps, without a restart.
func (b *env) rebuiltWithLoss(why string) {
	b.Helper()
	report, err := replay.Verify(b.Context(), b.replayer())
	if err == nil || !strings.Contains(err.Error(), why) || !compared(report, "mailbox_inventory") || compared(report, "operation_events") {
		b.Errorf("verify: %v, %+v", err, report)
	}
	before := b.dump(b.db)
	if _, err := replay.Rebuild(b.Context(), b.replayer(), true); err == nil || !strings.Contains(err.Error(), why) {
		b.Errorf("rebuild without being asked: %v", err)
	}
	if diff := cmp.Diff(before, b.dump(b.db)); diff != "" {
		b.Errorf("the rows changed:\n%s", diff)
	}
	cfg := b.replayer()
	cfg.AcceptLoss = true
	if report, err := replay.Rebuild(b.Context(), cfg, true); err != nil || !report.Swapped || !strings.Contains(report.NotCompared, why) || !compared(report, "mailbox_inventory") {
		b.Errorf("rebuild: %v, %+v", err, report)
	}
}

func compared(report replay.Report, table string) bool {
	return slices.ContainsFunc(report.Tables, func(t replay.Table) bool { return t.Name == table })
}

// A server that comes back from an older copy of its files, or without what had not reached the
// disk, has other messages at the same positions as soon as enough of them have come.
func TestAStreamThatLostItsEndAndHasGrownAgainStopsTheProjection(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	published := 0
	publish := func(n int) {
		for range n {
			published++
			b.result(of(example(t, event.TypeMailboxCreated), "/test", fmt.Sprint(published)))
		}
	}
	publish(10)
	older := filepath.Join(t.TempDir(), "older")
	b.restartNATS(func() {
		if err := os.CopyFS(older, os.DirFS(b.dir)); err != nil {
			t.Fatal(err)
		}
	})
	running, stop := b.follow(b.db, quick)
	publish(5)
	b.caughtUp(b.db)
	b.ready(running, "")
	stop()
	before := b.dump(b.db)
	b.restartNATS(func() {
		if err := errors.Join(os.RemoveAll(b.dir), os.CopyFS(b.dir, os.DirFS(older))); err != nil {
			t.Fatal(err)
		}
	})
	publish(8) // one stream, as old as it was, and longer
	running, stop = b.follow(b.db, quick)
	b.ready(running, "message 15 of stream EVENTS was stored at")
	if diff := cmp.Diff(before, b.dump(b.db)); diff != "" {
		t.Errorf("the rows changed:\n%s", diff)
	}
	b.rebuiltWithLoss("others took their places")
	b.ready(running, "")
	publish(2)
	b.caughtUp(b.db)
	b.ready(running, "")
	b.await(`{"n": 20}`, "SELECT count(*) AS n FROM mailwright_views.operations")
	stop()
	b.equal(b.verify(), "operations")
}

// TestHeadersOfAPublisherStopNoProjection: JetStream answers a direct read with headers that say
// which message it is, behind those that the publisher of the message has set.
func TestHeadersOfAPublisherStopNoProjection(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"Nats-Time-Stamp": "1970-01-01T00:00:00Z", "Nats-Sequence": "x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newEnv(t)
			subject := topology.CommandSubject("contoso", event.DomainDirectory, "key")
			b.publish(subject, nats.Header{name: {value}}, []byte("not a command"))
			running, stop := b.follow(b.db, quick)
			b.caughtUp(b.db)
			b.ready(running, "")
			stop()
			running, stop = b.follow(b.db, quick)
			b.ready(running, "")
			stop()
		})
	}
}

// A position that somebody has set back does not go with the rows: what they count would be counted
// twice.
func TestAPositionThatIsSetBackStopsTheProjection(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	for i := range 10 {
		b.result(of(example(t, event.TypeMailboxCreated), "/test", fmt.Sprint(i)))
	}
	running, stop := b.follow(b.db, quick)
	b.caughtUp(b.db)
	b.ready(running, "")
	stop()
	b.exec("UPDATE mailwright.checkpoints SET sequence = 3 WHERE sequence > 3")
	before := b.dump(b.db)
	b.result(of(example(t, event.TypeMailboxCreated), "/test", "one more"))
	running, stop = b.follow(b.db, quick)
	b.ready(running, "message 3 of stream EVENTS was stored at")
	if diff := cmp.Diff(before, b.dump(b.db)); diff != "" {
		t.Errorf("the rows changed:\n%s", diff)
	}
	b.rebuiltWithLoss("message 3 of stream EVENTS was stored at")
	b.ready(running, "")
	stop()
	b.equal(b.verify(), "operations", "operation_outcomes")
	b.await(`{"operations": 11}`, "SELECT sum(operations) AS operations FROM mailwright_views.operations_by_state")
}

// TestAPurgedStream: a projection that has read the purged messages keeps their rows and goes on; a
// rebuild gives the rows of the messages that are left. A projection that has not read them halts,
// since they would be in no row.
func TestAPurgedStream(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	published := 0
	publish := func(n int) {
		for range n {
			published++
			b.result(of(example(t, event.TypeMailboxCreated), "/test", fmt.Sprint(published)))
		}
	}
	purge := func(keep uint64) {
		t.Helper()
		stream, err := b.js.Stream(t.Context(), topology.StreamEvents)
		if err == nil {
			err = stream.Purge(t.Context(), jetstream.WithPurgeKeep(keep))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func(want int) {
		t.Helper()
		b.await(fmt.Sprintf(`{"events": %d, "operations": %[1]d}`, want), "SELECT count(*) AS operations, (SELECT count(*) FROM mailwright_views.operation_events) AS events FROM mailwright_views.operations")
	}
	purge(0)
	publish(2)
	purge(1)
	running, stop := b.follow(b.db, quick) // that it never read anything of
	publish(20)
	b.caughtUp(b.db)
	for range 5 {
		purge(3)
		publish(1)
		b.caughtUp(b.db)
	}
	purge(0)
	publish(5)
	b.caughtUp(b.db)
	count(31)
	b.ready(running, "")
	report := b.verify()
	for _, table := range report.Tables {
		for _, d := range table.Examples {
			if table.Name == "operation_events" && d.Kind != replay.Surplus {
				t.Errorf("%s: %+v", table.Name, d)
			}
		}
	}
	if report.Differences() == 0 {
		t.Error("no row is left of what was purged")
	}
	if report, err := replay.Rebuild(t.Context(), b.replayer(), true); err != nil || !report.Swapped {
		t.Fatalf("%v, %+v", err, report)
	}
	count(5)
	b.equal(b.verify(), "operations")

	stop()
	publish(10)
	purge(3)
	running, stop = b.follow(b.db, quick)
	b.ready(running, "purged of messages that are in no row")
	count(5)
	b.rebuiltWithLoss("purged of messages that are in no row")
	b.ready(running, "")
	publish(1)
	b.caughtUp(b.db)
	count(4)
	b.equal(b.verify(), "operations")
	stop()
}
