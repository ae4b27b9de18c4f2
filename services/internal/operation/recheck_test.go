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

// ackExternally acknowledges a command as a NATS tool would.
func (env *env) ackExternally(command *jetstream.RawStreamMsg) {
	env.Helper()
	address, ok := topology.ParseCommandSubject(command.Subject)
	if !ok {
		env.Fatalf("stored on %s", command.Subject)
	}
	partition := bus.CommandConsumer(env.domain, 0, address.Partition)
	cons, err := env.js.CreateConsumer(env.Context(), topology.StreamCommands, partition)
	if err != nil {
		env.Fatal(err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(outcomeTimeout), jetstream.FetchPriorityGroup(partition.PriorityGroups[0]))
	if err != nil {
		env.Fatal(err)
	}
	if err := m.DoubleAck(env.Context()); err != nil {
		env.Fatal(err)
	}
	if err := env.stream(topology.StreamCommands).UnpinConsumer(env.Context(), partition.Durable, partition.PriorityGroups[0]); err != nil {
		env.Fatal(err)
	}
}

func (env *env) stored(sequence uint64) *jetstream.RawStreamMsg {
	env.Helper()
	stream := env.stream(topology.StreamCommands)
	m, err := stream.GetMsg(env.Context(), sequence)
	if err != nil {
		env.Fatal(err)
	}
	return m
}

func (env *env) stream(name string) jetstream.Stream {
	env.Helper()
	stream, err := env.js.Stream(env.Context(), name)
	if err != nil {
		env.Fatal(err)
	}
	return stream
}

// until waits for a condition.
func (env *env) until(what string, holds func() bool) {
	env.Helper()
	for deadline := time.Now().Add(outcomeTimeout); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			env.Fatalf("still not so: %s\n%s", what, env.log)
		}
	}
}

// has reports whether PARKED holds a message on a subject.
func (env *env) has(parked jetstream.Stream, subject string) func() bool {
	return func() bool {
		_, err := parked.GetLastMsgForSubject(env.Context(), subject)
		return err == nil
	}
}

// recheck is the state of the rechecker's consumer; a message is pending if there is none yet.
func (env *env) recheck() jetstream.ConsumerInfo {
	cons, err := env.js.Consumer(env.Context(), topology.StreamCommands, bus.RecheckConsumer(env.domain).Durable)
	if err != nil {
		return jetstream.ConsumerInfo{NumPending: 1}
	}
	return *cons.CachedInfo()
}

// rechecked waits until nothing is left to recheck, and counts the dead letters.
func (env *env) rechecked() uint64 {
	env.Helper()
	env.until("everything is rechecked", func() bool { i := env.recheck(); return i.NumPending == 0 && i.NumAckPending == 0 })
	stream := env.stream(topology.StreamDead)
	return stream.CachedInfo().State.Msgs
}

func TestRecheckFindsWhatWasAcknowledgedExternally(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	env.publish(command("taken", valid))
	env.ackExternally(env.stored(1))
	env.publish(command("kept", valid))
	var calls atomic.Int64
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		calls.Add(1)
		return changed(run)
	}}, recheckSoon)
	env.outcome("kept")
	l := env.dead(operation.AckedWithoutOutcome)
	if l.Stream != topology.StreamCommands || l.Sequence != 1 || l.ID != "taken" || l.Type != event.TypeDelegationChange || l.OperationID != event.OperationID("contoso", source, "taken") || l.Detail != "acknowledged without an outcome" {
		t.Errorf("%+v", l)
	}
	if n := env.rechecked(); n != 1 || calls.Load() != 1 {
		t.Errorf("%d dead letters, %d calls: the rechecker calls no vendor", n, calls.Load())
	}
}

func TestRecheckLeavesAloneWhatHasEndedOrIsOnItsWay(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		calls.Add(1)
		if run.Command.ID() == "waits" && run.Operation.Attempt == 1 {
			return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: 2 * time.Second, Text: "later"} // ten times as long as RecheckAfter
		}
		return changed(run)
	}}, recheckSoon)
	const finished = 50
	env.publish(on("waits", command("waits", valid)))
	env.publish(on("waits", command("behind", valid)))
	for i := range finished {
		env.publish(on(fmt.Sprint(i), command(fmt.Sprint(i), valid)))
	}
	env.outcome("0")
	env.publish(on("x", command("0", `{"mailbox":"other@contoso.com","add":["d@contoso.com"]}`))) // conflicts
	unreadable := command("unreadable", valid)
	unreadable.Header["ce-id"] = []string{"1", "2"}
	env.publish(unreadable)
	env.outcome("waits")
	env.outcome("behind")
	if n := env.rechecked(); n != 2 { // the conflict and the unreadable one, once each
		t.Errorf("%d dead letters", n)
	}
	if calls.Load() != finished+3 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestRecheckWaitsForThePartition(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		<-answer
		return changed(run)
	}}, recheckSoon, func(c *operation.Config) { c.ParkAfter = time.Hour })
	env.publish(command("slow", valid))
	env.publish(command("behind", valid))
	env.until("both have been checked", func() bool { i := env.recheck(); return i.NumAckPending == 2 && i.NumRedelivered > 0 })
	close(answer)
	env.outcome("behind")
	if n := env.rechecked(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestRecheckWakesAKeyWhoseScheduleWasLost(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if calls.Add(1) == 1 {
			return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: time.Second, Text: "later"}
		}
		return changed(run)
	}}, func(c *operation.Config) { c.RecheckAfter = 1500 * time.Millisecond })
	env.publish(command("1", valid))
	parked := env.stream(topology.StreamParked)
	schedule := topology.ScheduleSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: "alex"})
	env.until("it is scheduled", env.has(parked, schedule))
	if err := parked.Purge(t.Context(), jetstream.WithPurgeSubject(schedule)); err != nil {
		t.Fatal(err)
	}
	env.outcome("1")
	env.nothingParked()
	if n := env.rechecked(); n != 0 || calls.Load() != 2 {
		t.Errorf("%d dead letters, %d calls", n, calls.Load())
	}
}

func TestRecheckFindsWhatWasTakenOutOfParking(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: time.Hour, Text: "later"}
	}}, recheckSoon)
	env.publish(command("1", valid))
	parked := env.stream(topology.StreamParked)
	waiting := topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: "alex"})
	env.until("it is parked", env.has(parked, waiting))
	if err := parked.Purge(t.Context(), jetstream.WithPurgeSubject(waiting)); err != nil {
		t.Fatal(err)
	}
	if l := env.dead(operation.AckedWithoutOutcome); l.ID != "1" || l.Detail != `acknowledged without an outcome; its record ends with "waiting"` {
		t.Errorf("%+v", l)
	}
}
