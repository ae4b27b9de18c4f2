package operation_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// ordered is a handler that finds a command that takes effect out of its key's order, or twice.
// Commands are named by a number, and key their number by keys.
type ordered struct {
	*testing.T
	calls callCounter
	done  atomic.Int64
	last  []atomic.Int64 // the last command of each key, plus one
}

func (o *ordered) perform(run *operation.Attempt, call time.Duration) (operation.Reply, error) {
	o.calls.begin()
	defer o.calls.end()
	time.Sleep(call)
	var i int64
	if _, err := fmt.Sscanf(run.Command.ID(), "%d", &i); err != nil {
		o.Error(err)
	}
	if earlier := o.last[i%int64(len(o.last))].Swap(i + 1); earlier > i {
		o.Errorf("command %d took effect after command %d of its key", i, earlier-1)
	}
	o.done.Add(1)
	return changed(run)
}

// TestABacklogDoesNotHoldUpOtherTenants: a tenant's backlog is more than the windows of all
// partitions. It is set aside, and worked off within the limit and in the order of each key,
// without an event more. The commands of another tenant behind it do not wait for it, and a second
// replica takes part.
func TestABacklogDoesNotHoldUpOtherTenants(t *testing.T) {
	t.Parallel()
	const backlog, keys, limit, others = 1200, 150, 4, 20
	o := ordered{T: t, last: make([]atomic.Int64, keys)}
	env := setupStreams(t, event.DomainDelegation)
	send := func(from, to int) {
		for i := from; i < to; i++ {
			env.publish(of("backlog", on(fmt.Sprint("key", i%keys), command(fmt.Sprint(i), valid))))
		}
	}
	send(0, backlog-100)
	serve := func() {
		env.serve(event.TypeDelegationChange, operation.Handler{Vendor: "v", Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			if run.Tenant == "backlog" {
				return o.perform(run, 5*time.Millisecond)
			}
			return changed(run)
		}}, func(c *operation.Config) {
			c.Budget.Tenant, c.ParkAfter, c.RebalanceInterval = limit, 200*time.Millisecond, 200*time.Millisecond
		})
	}
	serve()
	for i := range others {
		env.publish(on(fmt.Sprint("other", i), command(fmt.Sprint("other", i), valid)))
	}
	for i := range others {
		env.outcome(fmt.Sprint("other", i))
	}
	if n := o.done.Load(); n > backlog/2 {
		t.Errorf("%d of %d commands of a backlog went before another tenant's", n, backlog)
	}
	serve() // a second replica
	send(backlog-100, backlog)
	env.until("all have their outcomes", func() bool {
		return env.stream(topology.StreamEvents).CachedInfo().State.Msgs >= backlog+others
	})
	for i := range backlog {
		env.wantHistory(fmt.Sprint(i), "delegation.changed")
	}
	if n := o.calls.most.Load(); n > 2*limit {
		t.Errorf("%d calls of a tenant at a time, with a limit of %d in each of two replicas", n, limit)
	}
	if n := o.done.Load(); n != backlog {
		t.Errorf("%d calls for %d commands", n, backlog)
	}
	env.nothingParked()
	if n := env.stream(topology.StreamParked).CachedInfo().State.LastSeq; n == 0 || n > backlog {
		t.Errorf("%d messages were stored to set commands aside", n)
	}
}

// TestWhatWaitsInAnOverflowIsTheVeryCommand: a reference whose command is gone, or to another one
// than was set aside, ends as a dead letter. What is no reference does too. The others go on.
func TestWhatWaitsInAnOverflowIsTheVeryCommand(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	env.publish(of("other", command("of-another-tenant", valid)))
	env.publish(command("1", valid))
	commands := env.messagesOn(topology.StreamCommands, ">")
	address, ok := topology.ParseCommandSubject(commands[1].Subject)
	if !ok {
		t.Fatal(commands[1].Subject)
	}
	o := address.Overflow()
	reference := func(sequence uint64, at time.Time) string {
		return fmt.Sprintf(`{"sequence":%d,"storedAt":%d,"key":%q,"type":%q}`, sequence, at.UnixNano(), address.Key, event.TypeDelegationChange)
	}
	stored := func(i int) (uint64, time.Time) { return commands[i].Sequence, commands[i].Time }
	for _, run := range []string{
		"no run", `{"commands":[]}`,
		`{"commands":[` + reference(commands[1].Sequence, commands[1].Time.Add(time.Second)) + `]}`,
		`{"commands":[` + reference(stored(0)) + `]}`,
		`{"commands":[` + reference(4_000_000_000, time.Now()) + "," + reference(stored(1)) + `]}`,
	} {
		if _, err := env.js.Publish(t.Context(), topology.ParkedSubject(o), []byte(run)); err != nil {
			t.Fatal(err)
		}
	}
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) }})
	if _, err := env.js.Publish(t.Context(), topology.WakeSubject(o), nil); err != nil {
		t.Fatal(err)
	}
	env.outcome("1")
	env.wantHistory("1", "delegation.changed")
	env.nothingParked()
	reasons := map[string]int{}
	for _, m := range env.messagesOn(topology.StreamDead, ">") {
		e, err := event.Decode(m.Header, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		var l event.DeadLetter
		if err := e.DataAs(&l); err != nil {
			t.Fatal(err)
		}
		reasons[l.Reason]++
	}
	want := map[string]int{operation.Unreadable: 2, operation.ReferenceMismatch: 2, operation.Expired: 1}
	if !maps.Equal(reasons, want) {
		t.Errorf("dead letters: %v, want %v", reasons, want)
	}
}

// TestACommandJoinsWhatWaitsBeforeIt: a command that is started although its lane has an
// overflow of its tenant waits there, and so keeps its key's order. Those of other tenants do not.
func TestACommandJoinsWhatWaitsBeforeIt(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	for lane := range topology.Lanes { // nothing wakes it yet
		o := topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: topology.OverflowKey(lane)}
		if _, err := env.js.Publish(t.Context(), topology.ParkedSubject(o), []byte("no run")); err != nil {
			t.Fatal(err)
		}
	}
	handler := operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) }}
	env.publish(command("1", valid))
	env.publish(of("other", command("2", valid)))
	env.serve(event.TypeDelegationChange, handler)
	env.outcome("2")
	env.outcome("1") // its partition's overflow was woken, and worked off
	env.wantHistory("1", "delegation.changed")
	if l := env.dead(operation.Unreadable); l.Stream != topology.StreamParked {
		t.Errorf("%+v: the overflow was not worked off", l)
	}
}

// overflow is that of the lane of a stored command, with the references to its commands.
func (env *env) overflow(commands ...*jetstream.RawStreamMsg) topology.Address {
	env.Helper()
	a, ok := topology.ParseCommandSubject(commands[0].Subject)
	if !ok {
		env.Fatal(commands[0].Subject)
	}
	var references []string
	for _, m := range commands {
		references = append(references, fmt.Sprintf(`{"sequence":%d,"storedAt":%d,"key":%q,"type":%q}`, m.Sequence, m.Time.UnixNano(), a.Key, event.TypeDelegationChange))
	}
	o := a.Overflow()
	env.publishRaw(topology.ParkedSubject(o), nil, `{"commands":[`+strings.Join(references, ",")+`]}`)
	return o
}

// TestAPanicHoldsUpNoOverflow: nor does it end the process. The command goes on by its key.
func TestAPanicHoldsUpNoOverflow(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	env.publish(command("1", valid))
	env.publish(command("2", valid))
	o := env.overflow(env.messagesOn(topology.StreamCommands, ">")...)
	env.publishRaw(topology.WakeSubject(o), nil, "")
	var checks atomic.Int64
	env.serve(event.TypeDelegationChange, operation.Handler{
		Check: func(*operation.Attempt) error {
			if checks.Add(1) == 1 {
				panic("a fault of ours")
			}
			return nil
		},
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) },
	})
	env.outcome("1")
	env.outcome("2")
	env.nothingParked()
}

// TestAnErrorHoldsUpNoOverflow: a command whose record cannot be read waits on its key. It is given
// up after as many deliveries there as anywhere else, and the others go on meanwhile.
func TestAnErrorHoldsUpNoOverflow(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	unread := command("1", valid)
	env.publishRaw(resultsOf(unread), nil, `{"hello":"there"}`)
	env.publish(unread)
	stored := env.messagesOn(topology.StreamCommands, ">")
	o := env.overflow(stored...)
	env.publishRaw(topology.WakeSubject(o), nil, "")
	began := time.Now()
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) }})
	parked := env.stream(topology.StreamParked)
	env.until("the overflow is worked off", func() bool {
		_, err := parked.GetLastMsgForSubject(t.Context(), topology.ParkedSubject(o))
		return errors.Is(err, jetstream.ErrMsgNotFound)
	})
	if n := env.deadLetters(); n != 0 {
		t.Errorf("%d dead letters after the first look at the record", n)
	}
	env.dead(operation.RecordUnreadable)
	if took := time.Since(began); took < 5*time.Second { // five deliveries, with pauses of 7.5 s together
		t.Errorf("given up after %v", took)
	}
}

// TestAnOverflowLeavesADetachedCallAlone: its command waits on its key, and the key's schedule is
// its lease.
func TestAnOverflowLeavesADetachedCallAlone(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	env.publish(command("1", valid))
	stored := env.messagesOn(topology.StreamCommands, ">")
	o := env.overflow(stored...)
	key, _ := topology.ParseCommandSubject(stored[0].Subject)
	env.publishRaw(topology.ParkedSubject(key), nil, fmt.Sprintf(`{"sequence":%d,"operationId":%q,"partition":%d}`,
		stored[0].Sequence, event.OperationID("contoso", source, "1"), key.Partition))
	at := "@at " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)
	env.publishRaw(topology.ScheduleSubject(key), nats.Header{"Nats-Schedule": {at}, "Nats-Schedule-Target": {topology.WakeSubject(key)}}, "")
	env.publishRaw(topology.WakeSubject(o), nil, "")
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		t.Error("the command was carried out beside its call")
		return changed(run)
	}})
	parked := env.stream(topology.StreamParked)
	env.until("the overflow is worked off", func() bool {
		_, err := parked.GetLastMsgForSubject(t.Context(), topology.ParkedSubject(o))
		return errors.Is(err, jetstream.ErrMsgNotFound)
	})
	if s, err := parked.GetLastMsgForSubject(t.Context(), topology.ScheduleSubject(key)); err != nil || s.Header.Get("Nats-Schedule") != at {
		t.Errorf("the lease of the call was %s, and is gone: %v %v", at, s, err)
	}
}

// TestAnOverflowIsReadBeforeTheKey: a command that goes from the one to the other meanwhile is
// seen.
func TestAnOverflowIsReadBeforeTheKey(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	requests, err := env.js.Conn().SubscribeSync("$JS.API.DIRECT.GET." + topology.StreamParked)
	if err != nil {
		t.Fatal(err)
	}
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) }})
	env.publish(command("1", valid))
	env.outcome("1")
	var asked []string
	for range 2 {
		m, err := requests.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if asked = append(asked, string(m.Data)); strings.Contains(string(m.Data), "overflow") {
			break
		}
	}
	all := strings.Join(asked, " ")
	if overflow, key := strings.Index(all, "overflow"), strings.Index(all, "alex"); overflow < 0 || key >= 0 && key < overflow {
		t.Errorf("the key was read first: %s", all)
	}
}
