package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/replay"
	"github.com/mailwright/mailwright/services/projection-svc/internal/drift"
)

// told gives what the stream DRIFT holds: a line a mailbox and, after it, a delegate that differs.
func (b *env) told() string {
	b.Helper()
	stream, err := b.js.Stream(b.Context(), topology.StreamDrift)
	if err != nil {
		b.Fatal(err)
	}
	var lines []string
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		m, err := stream.GetMsg(b.Context(), sequence)
		if err != nil {
			continue // replaced by a later one
		}
		e, err := event.Decode(m.Header, m.Data)
		if err != nil {
			b.Fatal(err)
		}
		if faults := event.Check(e); len(faults) > 0 {
			b.Fatalf("%v: %s", faults, m.Data)
		}
		var data event.DelegationDriftData
		if err := e.DataAs(&data); err != nil {
			b.Fatal(err)
		}
		line := fmt.Sprintf("%s %s:", event.Extension(e, event.AttrTenantID), data.Mailbox)
		for _, d := range data.Drift {
			line += " " + d.Kind + " " + d.Delegate
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (b *env) awaitTold(want string) {
	b.Helper()
	got := ""
	for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = b.told(); got == want {
			return
		}
	}
	b.Fatalf("told\n%s\nwant\n%s", got, want)
}

func (b *env) publishDrift() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range 2 { // side by side they say nothing twice
		running.Go(func() { drift.Publisher{Pool: b.db, JS: b.js, Log: quiet, Every: 10 * time.Millisecond}.Run(ctx) })
	}
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	b.Cleanup(stop)
	return stop
}

// A reading of all mailboxes takes long: what a command has set meanwhile is no drift, and stays
// the mailbox's list.
func TestAReadingFromBeforeACommandTellsNothingOfIt(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	b.follow(b.db, quick)
	observe := func(id string, readAt time.Time) {
		t.Helper()
		b.result(with(t, of(example(t, event.TypeDelegationObserved), "/test", id), map[string]any{"readAt": readAt, "mailboxes": []any{
			observedMailbox("alex", "alex@contoso.com", "d1@x"), observedMailbox("bea", "bea@contoso.com", "d1@x")}}))
		b.caughtUp(b.db)
	}
	before := time.Now().Add(-time.Minute)
	b.result(with(t, of(example(t, event.TypeDelegationChanged), "/test", "set"), map[string]any{"mailbox": "alex@contoso.com", "delegates": []string{"d2@x"}}))
	observe("long under way", before)
	const delegates = "SELECT mailbox, delegate, source FROM mailwright_views.delegates ORDER BY 1, 2"
	b.await(`{"source": "set", "mailbox": "alex@contoso.com", "delegate": "d2@x"}`+"\n"+`{"source": "observed", "mailbox": "bea", "delegate": "d1@x"}`, delegates)
	b.await("", "SELECT * FROM mailwright_views.delegation_drift")
	observe("read since", time.Now().Add(time.Minute))
	b.await(`{"source": "observed", "mailbox": "alex", "delegate": "d1@x"}`+"\n"+`{"source": "observed", "mailbox": "bea", "delegate": "d1@x"}`, delegates)
	b.await(`{"n": 2}`, "SELECT count(*) AS n FROM mailwright_views.delegation_drift")
	b.equal(b.verify(), "delegation_drift")
}

func TestDriftOfDelegatesIsSeenAndTold(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	_, unfollow := b.follow(b.db, quick)
	stop := b.publishDrift()
	n := 0
	observe := func(mailboxes ...map[string]any) {
		n++
		b.result(with(t, of(example(t, event.TypeDelegationObserved), "/test", fmt.Sprint(n)), map[string]any{"readAt": nil, "mailboxes": mailboxes}))
	}
	change := func(mailbox string, delegates ...string) {
		n++
		b.result(with(t, of(example(t, event.TypeDelegationChanged), "/test", fmt.Sprint(n)), map[string]any{"mailbox": mailbox, "delegates": append([]string{}, delegates...)}))
	}
	expect := func(want ...string) {
		t.Helper()
		b.caughtUp(b.db)
		lines := make([]string, len(want))
		for i, w := range want {
			lines[i] = fmt.Sprintf(`{"row": %q}`, w)
		}
		b.await(strings.Join(lines, "\n"), `SELECT d.mailbox || ': ' || d.kind || ' ' || d.delegate || ' set ' || s.command_id || ' observed ' || o.command_id || CASE WHEN d.since < d.observed_at THEN ' again' ELSE '' END AS row
			FROM mailwright_views.delegation_drift d JOIN mailwright_views.operations s ON s.operation_id = d.set_operation_id JOIN mailwright_views.operations o ON o.operation_id = d.observed_operation_id ORDER BY 1`)
	}
	observe(observedMailbox("alex", "alex@contoso.com", "d1@x")) // 1: nothing was set, so nothing differs
	change("alex@contoso.com", "d1@x", "d2@x")                   // 2
	expect()
	observe(observedMailbox("alex", "alex@contoso.com", "D2@X", "d1@x")) // 3: as it was set
	expect()
	observe(observedMailbox("alex", "alex@contoso.com", "d1@x", "d3@x")) // 4
	expect("alex: missing d2@x set 2 observed 4", "alex: unexpected d3@x set 2 observed 4")
	b.awaitTold("contoso alex: missing d2@x unexpected d3@x")
	observe(observedMailbox("alex", "alex@contoso.com", "d1@x", "d3@x")) // 5: still
	expect("alex: missing d2@x set 2 observed 5 again", "alex: unexpected d3@x set 2 observed 5 again")
	observe(observedMailbox("alex", "alex@contoso.com", "d1@x", "Help Desk")) // 6: may be d2
	expect()
	b.awaitTold("contoso alex:")
	change("bea", "d1@x")                                   // 7
	observe(observedMailbox("bea", "bea@contoso.com"))      // 8
	expect("bea: missing d1@x set 7 observed 8")            //
	b.awaitTold("contoso alex:\ncontoso bea: missing d1@x") //
	change("bea@contoso.com", "d9@x")                       // 9: a command says what should be
	expect()
	b.awaitTold("contoso alex:\ncontoso bea:")
	observe(observedMailbox("bea", "bea@contoso.com")) // 10
	expect("bea: missing d9@x set 9 observed 10")
	const end = "contoso alex:\ncontoso bea: missing d9@x"
	b.awaitTold(end)

	// Neither a rebuild nor lost notes of what was published say it again.
	stream, err := b.js.Stream(t.Context(), topology.StreamDrift)
	if err != nil {
		t.Fatal(err)
	}
	last := stream.CachedInfo().State.LastSeq
	b.equal(b.verify())
	if report, err := replay.Rebuild(t.Context(), b.replayer(), true); err != nil || !report.Swapped {
		t.Fatal(err)
	}
	stop()
	if _, err := b.db.Exec(t.Context(), "UPDATE mailwright.publications SET sequence = 0"); err != nil {
		t.Fatal(err)
	}
	b.publishDrift()
	b.await(`{"done": true}`, "SELECT sequence = (SELECT max(drift_sequence) FROM mailwright.delegation_mailboxes) AS done FROM mailwright.publications")
	info, err := stream.Info(t.Context())
	if err != nil || info.State.LastSeq != last || b.told() != end {
		t.Errorf("%v, %d messages after %d, %s", err, info.State.LastSeq, last, b.told())
	}
	unfollow()
}

// Positions of a stream that was made again mean other events: none of its drift is passed over.
func TestDriftOfAStreamThatWasMadeAgainIsTold(t *testing.T) {
	t.Parallel()
	b := newEnv(t)
	running, _ := b.follow(b.db, quick)
	b.publishDrift()
	drift := func(mailbox string) {
		b.result(with(t, of(example(t, event.TypeDelegationChanged), "/test", mailbox), map[string]any{"mailbox": mailbox, "delegates": []string{"d1@x"}}))
		b.result(with(t, of(example(t, event.TypeDelegationObserved), "/test", "read "+mailbox), map[string]any{"readAt": nil, "mailboxes": []any{observedMailbox(mailbox, "")}}))
	}
	for range 5 { // so that the positions are higher than those to come
		b.result(example(t, event.TypeMailboxCreated))
	}
	drift("alex")
	b.awaitTold("contoso alex: missing d1@x")
	if err := b.js.DeleteStream(t.Context(), topology.StreamEvents); err != nil {
		t.Fatal(err)
	}
	if err := topology.Ensure(t.Context(), b.js, topology.Config{}); err != nil {
		t.Fatal(err)
	}
	drift("bea")
	for range 10 {
		b.result(example(t, event.TypeDelegationChanged))
	}
	b.ready(running, "was made again")
	cfg := b.replayer()
	cfg.AcceptLoss = true
	if _, err := replay.Rebuild(t.Context(), cfg, true); err != nil {
		t.Fatal(err)
	}
	b.awaitTold("contoso alex: missing d1@x\ncontoso bea: missing d1@x")
}
