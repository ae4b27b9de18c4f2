package operation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// reference is what PARKED holds of a command.
type reference struct {
	Sequence    uint64 `json:"sequence"`
	Incarnation string `json:"incarnation"`
	OperationID string `json:"operationId"`
	Partition   int    `json:"partition"`
}

// wakeNow has the service look at a key.
func (env *env) wakeNow(key string, partition int) {
	env.Helper()
	env.publishRaw(topology.WakeSubject(topology.Address{Tenant: "contoso", Domain: env.domain, Key: key, Partition: partition}), nil, "")
}

// TestAReferenceToAnotherCommand ends the operation that waited, and leaves the other command
// alone.
func TestAReferenceToAnotherCommand(t *testing.T) {
	t.Parallel()
	const otherStream = "2020-01-02T03:04:05Z"
	cases := map[string]struct {
		change func(r *reference, sameKey, otherKey, otherDomain uint64)
		reason string // "": it is carried out
	}{
		"made again, same key":     {func(r *reference, same, _, _ uint64) { r.Incarnation, r.Sequence = otherStream, same }, operation.ReferenceMismatch},
		"restored, same key":       {func(r *reference, same, _, _ uint64) { r.Sequence = same }, operation.ReferenceMismatch},
		"restored, other key":      {func(r *reference, _, other, _ uint64) { r.Sequence = other }, operation.ReferenceMismatch},
		"made again, other domain": {func(r *reference, _, _, domain uint64) { r.Incarnation, r.Sequence = otherStream, domain }, operation.ReferenceMismatch},
		"restored, other domain":   {func(r *reference, _, _, domain uint64) { r.Sequence = domain }, operation.ReferenceMismatch},
		"gone":                     {func(r *reference, _, _, _ uint64) { r.Sequence = 4_000_000_000 }, operation.Expired},
		"made again, gone":         {func(r *reference, _, _, _ uint64) { r.Incarnation, r.Sequence = otherStream, 4_000_000_001 }, operation.Expired},
		// The very command: a stream that was copied, or made again while the service ran.
		"made again, the same command": {func(r *reference, _, _, _ uint64) { r.Incarnation = otherStream }, ""},
	}
	env := setup(t, func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, throttledFor(3600)
	})
	references := map[string]reference{}
	for name := range cases {
		env.publish(on(name, command(name, valid)))
		env.until("it waits", func() bool { return env.parked(event.Token(name)) == 1 })
		m := env.messagesOn(topology.StreamParked, topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: env.domain, Key: event.Token(name)}))[0]
		var r reference
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Fatal(err)
		}
		references[name] = r
	}
	env.stop()
	if err := env.stream(topology.StreamParked).Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	var j journal
	sequence := uint64(len(cases))
	for name, c := range cases {
		foreign := with("type", event.TypeMailboxCreate, command("mailbox "+name, `{"directoryObject":"alex","mailboxParameters":{}}`))
		foreign.Subject = topology.CommandSubject("contoso", event.DomainMailbox, name)
		for _, m := range []*nats.Msg{on(name, command("same "+name, valid)), on("of "+name, command("other "+name, valid)), foreign} {
			env.publish(m)
		}
		r := references[name]
		c.change(&r, sequence+1, sequence+2, sequence+3)
		sequence += 3
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		env.publishRaw(topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: env.domain, Key: event.Token(name)}), nil, string(raw))
		env.ofWaitingNow(env.subject(name))
		env.wakeNow(event.Token(name), r.Partition)
	}
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform})
	for name, c := range cases {
		env.wantMismatch(name, c.reason, &j)
		for _, id := range []string{"same " + name, "other " + name} {
			if e := env.outcome(id); e.Type() != event.TypeDelegationChanged || j.count(id) != 1 {
				t.Errorf("%s: %d calls, %s", id, j.count(id), e)
			}
		}
	}
	if n := env.messagesOn(topology.StreamEvents, "mailwright.evt.contoso.mailbox.*"); len(n) > 0 {
		t.Errorf("a command of another domain has results: %v", n[0].Header)
	}
	env.nothingQueued()
}

// nothingQueued waits until no key has anything that waits; schedules of hours may be left.
func (env *env) nothingQueued() {
	env.Helper()
	env.until("nothing waits", func() bool { return len(env.messagesOn(topology.StreamParked, "mailwright.parked.>")) == 0 })
}

// ofWaitingNow writes the waiting of a record once more, so that its next attempt is due.
func (env *env) ofWaitingNow(subject string) {
	env.Helper()
	last, err := env.stream(topology.StreamEvents).GetLastMsgForSubject(env.Context(), subject)
	if err != nil {
		env.Fatal(err)
	}
	env.publishRaw(subject, attributesOf(last.Header), dueNow(env.T, last.Data))
}

// wantMismatch waits for what becomes of an operation whose reference has been changed.
func (env *env) wantMismatch(id, reason string, j *journal) {
	env.Helper()
	e := env.outcome(id)
	if reason == "" {
		if e.Type() != event.TypeDelegationChanged || j.count(id) != 1 {
			env.Errorf("%s: %d calls, %s", id, j.count(id), e)
		}
		return
	}
	var data event.FailedData
	if err := e.DataAs(&data); err != nil || data.Failure.Code != reason || data.Failure.Kind != string(failure.Unavailable) || len(event.Check(e)) > 0 {
		env.Errorf("%s: %s %s %v %v", id, e.Type(), e.Data(), err, event.Check(e))
	}
	if l := env.deadWhere("of "+id, func(l event.DeadLetter) bool { return l.ID == id }); l.Reason != reason || l.Stream != topology.StreamCommands {
		env.Errorf("%s: %+v", id, l)
	}
	if j.count(id) > 0 {
		env.Errorf("%s was carried out", id)
	}
}

// TestCommandsIsMadeAgainWhileCommandsWait: the references of PARKED then name other commands. The
// service may have run meanwhile.
func TestCommandsIsMadeAgainWhileCommandsWait(t *testing.T) {
	t.Parallel()
	for name, runs := range map[string]bool{"the service was stopped": false, "the service runs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const waiting = 3
			var j journal
			handler := operation.Handler{Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
				switch {
				case run.Command.ID()[:3] == "old":
					return operation.Reply{}, throttledFor(3600)
				case run.Operation.Attempt == 1:
					return operation.Reply{}, throttledFor(1) // it is parked too
				}
				return j.perform(ctx, run)
			}}
			env := setupStreams(t, event.DomainDelegation)
			env.serve(event.TypeDelegationChange, handler)
			partition := map[string]int{}
			for i := range waiting {
				key := fmt.Sprint("old", i)
				env.publish(on(key, command(key, valid)))
				env.until("it waits", func() bool { return env.parked(key) == 1 })
				address, _ := topology.ParseCommandSubject(env.stored(uint64(i + 1)).Subject)
				partition[key] = address.Partition
			}
			// A service that still starts would end for want of the stream.
			env.until("every consumer is there", func() bool {
				consumers := 0
				for range env.stream(topology.StreamCommands).ListConsumers(t.Context()).Info() {
					consumers++
				}
				return consumers > partitions
			})
			if !runs {
				env.stop()
			}
			if err := env.js.DeleteStream(t.Context(), topology.StreamCommands); err != nil {
				t.Fatal(err)
			}
			if err := topology.Ensure(t.Context(), env.js, topology.Config{Partitions: partitions}); err != nil {
				t.Fatal(err)
			}
			for i := range waiting {
				key := fmt.Sprint("new", i)
				env.publish(on(key, command(key, valid)))
			}
			if !runs {
				env.serve(event.TypeDelegationChange, handler)
			}
			for i := range waiting {
				env.until("the new one waits", func() bool { return len(env.history(fmt.Sprint("new", i))) > 0 })
			}
			env.stop()
			// its references may be of the former stream by their name
			env.serve(event.TypeDelegationChange, handler)
			for key, p := range partition {
				env.wakeNow(key, p)
			}
			for i := range waiting {
				env.wantMismatch(fmt.Sprint("old", i), operation.ReferenceMismatch, &j)
				id := fmt.Sprint("new", i)
				if e := env.outcome(id); e.Type() != event.TypeDelegationChanged || j.count(id) != 1 {
					t.Errorf("%s: %d calls, %s", id, j.count(id), e)
				}
			}
			env.nothingQueued()
		})
	}
}
