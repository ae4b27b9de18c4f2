package operation_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

func recheckSoon(c *operation.Config) { c.RecheckAfter = 200 * time.Millisecond }

// ackExternally acknowledges a command of partition p with a foreign hand.
func (b *env) ackExternally(command *jetstream.RawStreamMsg) {
	b.Helper()
	address, ok := topology.ParseCommandSubject(command.Subject)
	if !ok {
		b.Fatalf("stored on %s", command.Subject)
	}
	partition := bus.CommandConsumer(b.domain, address.Partition)
	cons, err := b.js.CreateConsumer(b.Context(), topology.StreamCommands, partition)
	if err != nil {
		b.Fatal(err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(patience), jetstream.FetchPriorityGroup(partition.PriorityGroups[0]))
	if err != nil {
		b.Fatal(err)
	}
	if err := m.DoubleAck(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := b.stream(topology.StreamCommands).UnpinConsumer(b.Context(), partition.Durable, partition.PriorityGroups[0]); err != nil {
		b.Fatal(err)
	}
}

func (b *env) stored(sequence uint64) *jetstream.RawStreamMsg {
	b.Helper()
	stream := b.stream(topology.StreamCommands)
	m, err := stream.GetMsg(b.Context(), sequence)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *env) stream(name string) jetstream.Stream {
	b.Helper()
	stream, err := b.js.Stream(b.Context(), name)
	if err != nil {
		b.Fatal(err)
	}
	return stream
}

// until waits for a condition.
func (b *env) until(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("still not so: %s\n%s", what, b.log)
		}
	}
}

// has reports whether PARKED holds a message on a subject.
func (b *env) has(parked jetstream.Stream, subject string) func() bool {
	return func() bool {
		_, err := parked.GetLastMsgForSubject(b.Context(), subject)
		return err == nil
	}
}

// sweep tells how far the sweep has come; nothing where it has not begun.
func (b *env) recheck() jetstream.ConsumerInfo {
	cons, err := b.js.Consumer(b.Context(), topology.StreamCommands, bus.RecheckConsumer(b.domain).Durable)
	if err != nil {
		return jetstream.ConsumerInfo{NumPending: 1}
	}
	return *cons.CachedInfo()
}

// swept waits until the sweep has nothing left to look at, and counts the dead letters.
func (b *env) rechecked() uint64 {
	b.Helper()
	b.until("everything is swept", func() bool { i := b.recheck(); return i.NumPending == 0 && i.NumAckPending == 0 })
	stream := b.stream(topology.StreamDead)
	return stream.CachedInfo().State.Msgs
}

func TestRecheckFindsWhatWasAcknowledgedExternally(t *testing.T) {
	t.Parallel()
	b := setupStreams(t, event.DomainDelegation)
	b.publish(command("taken", valid))
	b.ackExternally(b.stored(1))
	b.publish(command("kept", valid))
	var calls atomic.Int64
	b.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		calls.Add(1)
		return changed(run)
	}}, recheckSoon)
	b.outcome("kept")
	l := b.dead(operation.AckedWithoutOutcome)
	if l.Stream != topology.StreamCommands || l.Sequence != 1 || l.ID != "taken" || l.Type != event.TypeDelegationChange || l.OperationID != event.OperationID("contoso", source, "taken") || l.Detail != "acknowledged without an outcome" {
		t.Errorf("%+v", l)
	}
	if n := b.rechecked(); n != 1 || calls.Load() != 1 {
		t.Errorf("%d letters, %d calls: the sweep calls no vendor", n, calls.Load())
	}
}

func TestRecheckLeavesAloneWhatHasEndedOrIsOnItsWay(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	b := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		calls.Add(1)
		if run.Command.ID() == "waits" && run.Operation.Attempt == 1 {
			return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: 2 * time.Second, Text: "later"} // ten times as long as RecheckAfter
		}
		return changed(run)
	}}, recheckSoon)
	const settled = 50
	b.publish(on("waits", command("waits", valid)))
	b.publish(on("waits", command("behind", valid)))
	for i := range settled {
		b.publish(on(fmt.Sprint(i), command(fmt.Sprint(i), valid)))
	}
	b.outcome("0")
	b.publish(on("x", command("0", `{"mailbox":"other@contoso.com","add":["d@contoso.com"]}`))) // conflicts
	unreadable := command("unreadable", valid)
	unreadable.Header["ce-id"] = []string{"1", "2"}
	b.publish(unreadable)
	b.outcome("waits")
	b.outcome("behind")
	if n := b.rechecked(); n != 2 { // the conflict and the unreadable one, once each
		t.Errorf("%d letters", n)
	}
	if calls.Load() != settled+3 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestRecheckWaitsForThePartition(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	b := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		<-answer
		return changed(run)
	}}, recheckSoon, func(c *operation.Config) { c.ParkAfter = time.Hour })
	b.publish(command("slow", valid))
	b.publish(command("behind", valid))
	b.until("both have been looked at", func() bool { i := b.recheck(); return i.NumAckPending == 2 && i.NumRedelivered > 0 })
	close(answer)
	b.outcome("behind")
	if n := b.rechecked(); n != 0 {
		t.Errorf("%d letters", n)
	}
}

func TestRecheckWakesAKeyWhoseScheduleWasLost(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	b := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if calls.Add(1) == 1 {
			return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: time.Second, Text: "later"}
		}
		return changed(run)
	}}, func(c *operation.Config) { c.RecheckAfter = 1500 * time.Millisecond })
	b.publish(command("1", valid))
	parked := b.stream(topology.StreamParked)
	alarm := topology.ScheduleSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: "alex"})
	b.until("it is scheduled", b.has(parked, alarm))
	if err := parked.Purge(t.Context(), jetstream.WithPurgeSubject(alarm)); err != nil {
		t.Fatal(err)
	}
	b.outcome("1")
	b.nothingParked()
	if n := b.rechecked(); n != 0 || calls.Load() != 2 {
		t.Errorf("%d letters, %d calls", n, calls.Load())
	}
}

func TestRecheckFindsWhatWasTakenOutOfParking(t *testing.T) {
	t.Parallel()
	b := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: time.Hour, Text: "later"}
	}}, recheckSoon)
	b.publish(command("1", valid))
	parked := b.stream(topology.StreamParked)
	place := topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: "alex"})
	b.until("it is parked", b.has(parked, place))
	if err := parked.Purge(t.Context(), jetstream.WithPurgeSubject(place)); err != nil {
		t.Fatal(err)
	}
	if l := b.dead(operation.AckedWithoutOutcome); l.ID != "1" || l.Detail != `acknowledged without an outcome; its record ends with "waiting"` {
		t.Errorf("%+v", l)
	}
}
