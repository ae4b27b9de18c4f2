package operation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// of gives a command of another tenant.
func of(tenant string, m *nats.Msg) *nats.Msg {
	m.Subject = strings.Replace(m.Subject, ".contoso.", "."+tenant+".", 1)
	return m
}

// on gives a command of another key.
func on(key string, m *nats.Msg) *nats.Msg {
	m.Subject = topology.CommandSubject("contoso", event.DomainDelegation, key)
	return m
}

// history lists the types of an operation's events, without prefix and version.
func (env *env) history(id string) []string {
	env.Helper()
	var list []string
	for _, m := range env.messagesOn(topology.StreamEvents, env.subject(id)) {
		list = append(list, strings.TrimSuffix(strings.TrimPrefix(m.Header.Get("ce-type"), event.Prefix), ".v1"))
	}
	return list
}

// messagesOn are those that a stream holds on a subject.
func (env *env) messagesOn(name, subject string) (list []*jetstream.RawStreamMsg) {
	env.Helper()
	stream := env.stream(name)
	for sequence := uint64(1); ; sequence++ {
		m, err := stream.GetMsg(env.Context(), sequence, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return list
		}
		sequence = m.Sequence
		list = append(list, m)
	}
}

func (env *env) wantHistory(id string, want ...string) {
	env.Helper()
	if got := env.history(id); !slices.Equal(got, want) {
		env.Errorf("history of %s: %v, want %v", id, got, want)
	}
}

var lost = &failure.Error{Kind: failure.Unknown, Vendor: "exchangeonline", Text: "the vendor's answer was lost: time ran out"}

func TestLostAnswerOfACreateIsReadBackAndNotRepeated(t *testing.T) {
	t.Parallel()
	var created, lookups atomic.Int64
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		NotRepeatable: true,
		LookUp: func(_ context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
			if n := lookups.Add(1); created.Load() == 0 || n < 4 { // the effect shows late
				return operation.Reply{}, false, nil
			}
			result, err := changed(run)
			return result, true, err
		},
		Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
			created.Add(1)
			return operation.Reply{}, lost
		},
		// so that the effect shows before it counts as not carried out
	}, func(c *operation.Config) { c.CallTimeout = outcomeTimeout })
	env.publish(command("1", valid))
	env.outcome("1")
	if created.Load() != 1 {
		t.Errorf("created %d times", created.Load())
	}
	if h := env.history("1"); h[0] != "delegation.started" || h[1] != "delegation.unknown" || h[len(h)-1] != "delegation.changed" {
		t.Errorf("history %v", h)
	}
}

func TestCreateThatWasNotCarriedOutIsRepeatedAfterTwiceTheCallTimeout(t *testing.T) {
	t.Parallel()
	var calls []time.Time
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		NotRepeatable: true,
		LookUp: func(context.Context, *operation.Attempt) (operation.Reply, bool, error) {
			return operation.Reply{}, false, nil
		},
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			calls = append(calls, time.Now())
			if len(calls) == 1 {
				return operation.Reply{}, lost
			}
			return changed(run)
		},
	})
	env.publish(command("1", valid))
	env.outcome("1")
	if len(calls) != 2 || calls[1].Sub(calls[0]) < 590*time.Millisecond { // twice CallTimeout
		t.Errorf("calls at %v", calls)
	}
}

// TestARepeatedCreateKnowsOfTheLostOne: the handler learns why an earlier call stayed open, also
// where it could not be looked for, or the repetition was not sent at first.
func TestARepeatedCreateKnowsOfTheLostOne(t *testing.T) {
	t.Parallel()
	var calls, looks atomic.Int64
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		NotRepeatable: true,
		LookUp: func(_ context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
			if (run.Prior != nil) != (calls.Load() > 0) {
				t.Errorf("after %d calls, prior %v", calls.Load(), run.Prior)
			}
			if run.Prior != nil && looks.Add(1) == 1 {
				return operation.Reply{}, false, &failure.Error{Kind: failure.Unavailable, Code: "away", Text: "the directory is away"}
			}
			return operation.Reply{}, false, nil
		},
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			n := calls.Add(1)
			if (run.Prior != nil) != (n > 1) {
				t.Errorf("call %d: prior %v", n, run.Prior)
			}
			switch n {
			case 1:
				return operation.Reply{}, &failure.Error{Kind: failure.Unknown, Code: "ended", Text: "it may have acted"}
			case 2:
				if run.Prior != nil && run.Prior.Failure.Code != "ended" {
					t.Errorf("the code is lost: %+v", run.Prior)
				}
				return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Code: "busy", Text: "not sent"}
			case 3: // a name that is taken, which the lost call may have done
				if run.Prior != nil && run.Prior.Failure.Code != "ended" {
					t.Errorf("the code is lost: %+v", run.Prior)
				}
				return operation.Reply{}, lost
			case 4:
				return operation.Reply{}, failure.New(failure.Refused, "no")
			}
			return changed(run)
		},
	})
	env.publish(command("1", valid))
	env.outcome("1")
	history := env.history("1")
	if calls.Load() != 4 || history[len(history)-1] != "delegation.failed" || slices.Contains(history, "delegation.waiting") {
		t.Errorf("%d calls, history %v", calls.Load(), history)
	}
}

func TestLostAnswerThatCannotBeReadBackGoesToAPerson(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]operation.Handler{
		"no look-up": {NotRepeatable: true},
		"look-up refused": {NotRepeatable: true, LookUp: func(_ context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
			if run.Prior != nil {
				return operation.Reply{}, false, &failure.Error{Kind: failure.Refused, Text: "no rights"}
			}
			return operation.Reply{}, false, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			h.Perform = func(context.Context, *operation.Attempt) (operation.Reply, error) {
				calls.Add(1)
				return operation.Reply{}, lost
			}
			env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, h)
			env.publish(command("1", valid))
			e := env.outcome("1")
			var data event.FailedData
			if err := e.DataAs(&data); err != nil || data.Failure.Kind != "unknown" || data.Failure.Code != operation.OutcomeUnknown {
				t.Errorf("%s %+v %v", e.Type(), data.Failure, err)
			}
			if l := env.dead(operation.OutcomeUnknown); l.ID != "1" || l.Sequence != 1 || l.Type != event.TypeDelegationChange {
				t.Errorf("%+v", l)
			}
			if calls.Load() != 1 {
				t.Errorf("%d calls", calls.Load())
			}
		})
	}
}

func TestWaitingKeyKeepsItsOrderAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	open := make(chan struct{})
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Operation.Key == "stuck" && run.Command.ID() == "first" {
			select {
			case <-open:
			default:
				return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: 200 * time.Millisecond, Text: "later"}
			}
		}
		mu.Lock()
		order = append(order, run.Command.ID())
		mu.Unlock()
		return changed(run)
	})
	env.publish(on("stuck", command("first", valid)))
	for i := range 20 {
		env.publish(on("stuck", command(fmt.Sprintf("s%02d", i), valid)))
		env.publish(on(fmt.Sprint("free", i), command(fmt.Sprint("free", i), valid)))
	}
	for i := range 20 {
		env.outcome(fmt.Sprint("free", i)) // while the other key waits
	}
	env.wantHistory("s00", "delegation.waiting")
	close(open)
	for i := range 20 {
		env.outcome(fmt.Sprintf("s%02d", i))
	}
	mu.Lock()
	defer mu.Unlock()
	stuck := slices.DeleteFunc(order, func(id string) bool { return strings.HasPrefix(id, "free") })
	if stuck[0] != "first" || !slices.IsSorted(stuck[1:]) || len(stuck) != 21 {
		t.Errorf("took effect in the order %v", stuck)
	}
	env.nothingParked()
}

// nothingParked waits until PARKED is empty.
func (env *env) nothingParked() {
	env.Helper()
	env.until("PARKED is empty", func() bool { return env.stream(topology.StreamParked).CachedInfo().State.Msgs == 0 })
}

func TestSlowCallLeavesItsPartition(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	var calls atomic.Int64
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "slow" {
			calls.Add(1)
			<-answer
		}
		return changed(run)
	})
	env.publish(on("slow", command("slow", valid)))
	env.publish(on("slow", command("behind", valid)))
	for i := range 30 {
		env.publish(on(fmt.Sprint("other", i), command(fmt.Sprint("other", i), valid)))
	}
	for i := range 30 {
		env.outcome(fmt.Sprint("other", i))
	}
	parked := env.stream(topology.StreamParked)
	renewed := map[uint64]bool{}
	env.until("the wake-up is renewed as long as the call goes on, longer than CallTimeout", func() bool {
		if m, err := parked.GetLastMsgForSubject(t.Context(), topology.ScheduleSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: "slow"})); err == nil {
			renewed[m.Sequence] = true
		}
		return len(renewed) > 5
	})
	env.wantHistory("behind", "delegation.waiting")
	env.wantHistory("slow", "delegation.started")
	close(answer)
	env.outcome("slow")
	env.outcome("behind")
	env.wantHistory("slow", "delegation.started", "delegation.changed")
	if calls.Load() != 1 {
		t.Errorf("called %d times", calls.Load())
	}
	env.nothingParked()
}

// TestNotBeforeHoldsUpNobody: a command that is not due yet waits beside the queue of its key, and
// joins it when it is.
func TestNotBeforeHoldsUpNobody(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, run.Command.ID())
		return changed(run)
	})
	at := time.Now().Add(1500 * time.Millisecond)
	soon := command("soon", valid)
	soon.Header["ce-notbefore"] = []string{at.UTC().Format(time.RFC3339Nano)}
	env.publish(soon)
	env.publish(soon) // twice, which changes nothing
	env.publish(command("behind", valid))
	env.outcome("behind")
	if now := time.Now(); now.After(at) {
		t.Skipf("the machine took %v for a command", now.Sub(at))
	}
	env.wantHistory("soon", "delegation.waiting")
	env.outcome("soon")
	if time.Now().Before(at) {
		t.Error("carried out too early")
	}
	env.wantHistory("soon", "delegation.waiting", "delegation.started", "delegation.changed")
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"behind", "soon"}; !slices.Equal(order, want) {
		t.Errorf("carried out %v, want %v", order, want)
	}
	env.nothingParked()
}

// TestAScheduledCommandIsCancelled: its schedule goes with it.
func TestAScheduledCommandIsCancelled(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) })
	never := command("never", valid)
	never.Header["ce-notbefore"] = []string{time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
	env.publish(never)
	env.until("it is scheduled", func() bool { return len(env.history("never")) > 0 })
	env.publish(cancelOf("cancel", "never"))
	if e := env.outcome("cancel"); e.Type() != event.TypeCancelCompleted {
		t.Errorf("%s", e)
	}
	if e := env.outcome("never"); e.Type() != event.CancelledType(event.DomainDelegation) || len(event.Check(e)) > 0 {
		t.Errorf("%s %v", e, event.Check(e))
	}
	env.publish(cancelOf("cancel-2", "never"))
	if e := env.outcome("cancel-2"); e.Type() != event.FailedType(event.DomainDelegation) || !strings.Contains(string(e.Data()), "has ended already") {
		t.Errorf("%s", e)
	}
	env.nothingParked()
}

// cancelOf is an operation.cancel of the command with an id.
func cancelOf(id, target string) *nats.Msg {
	m := command(id, fmt.Sprintf(`{"operationId":%q}`, event.OperationID("contoso", source, target)))
	m.Header["ce-type"] = []string{event.TypeOperationCancel}
	return m
}

// TestACommandBehindOthersIsCancelled: what waits for its key can be taken back.
func TestACommandBehindOthersIsCancelled(t *testing.T) {
	t.Parallel()
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "head" {
			return operation.Reply{}, throttledFor(3600)
		}
		return changed(run)
	})
	env.publish(command("head", valid))
	env.until("the head waits", func() bool { return len(env.history("head")) > 0 })
	env.publish(command("behind", valid))
	env.until("it waits behind the head", func() bool { return len(env.history("behind")) > 0 })
	env.publish(cancelOf("cancel", "behind"))
	if e := env.outcome("behind"); e.Type() != event.CancelledType(event.DomainDelegation) {
		t.Errorf("%s", e)
	}
}

// TestWhoMayCancel: the source of the command may, an operator of the tenant may, and nobody else.
func TestWhoMayCancel(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
			return operation.Reply{}, throttledFor(3600)
		},
	}, func(c *operation.Config) {
		c.Operators = map[string][]string{"contoso": {"/operator"}, "fabrikam": {"/theirs"}}
	})
	env.publish(command("waits", valid))
	env.until("it waits", func() bool { return len(env.history("waits")) > 0 })
	from := func(who string, m *nats.Msg) *nats.Msg { m.Header["ce-source"] = []string{who}; return m }
	for i, c := range []struct {
		message *nats.Msg
		want    string
	}{
		{from("/somebody", cancelOf("0", "waits")), event.RejectedType(event.DomainDelegation)},
		{from("/theirs", cancelOf("1", "waits")), event.RejectedType(event.DomainDelegation)},
		{of("fabrikam", from("/theirs", cancelOf("2", "waits"))), event.FailedType(event.DomainDelegation)}, // not found: another tenant's
		{from("/operator", cancelOf("3", "waits")), event.TypeCancelCompleted},
	} {
		env.publish(c.message)
		if e := env.outcome(fmt.Sprint(i)); e.Type() != c.want || len(event.Check(e)) > 0 {
			t.Errorf("cancel %d: %s %v", i, e, event.Check(e))
		}
	}
	env.wantHistory("waits", "delegation.waiting", "delegation.cancelled")
}

func TestDryRunPlansAndWritesNothing(t *testing.T) {
	t.Parallel()
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) { panic("written") },
		Plan: func(context.Context, *operation.Attempt) (event.Plan, error) {
			return event.Plan{Target: "alex@contoso.com", Exists: true, Changes: []event.Change{{Action: "add", What: "delegate", Value: "d@contoso.com"}}}, nil
		},
	})
	m := command("1", valid)
	m.Header["ce-dryrun"] = []string{"true"}
	env.publish(m)
	if e := env.outcome("1"); e.Type() != event.PlannedType(event.DomainDelegation) || len(event.Check(e)) > 0 || !strings.Contains(string(e.Data()), "d@contoso.com") {
		t.Errorf("%s %v", e, event.Check(e))
	}
}

func TestOneTenantsFloodDoesNotStarveAnother(t *testing.T) {
	t.Parallel()
	busy := make(chan struct{})
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Tenant == "flood" {
			<-busy
		}
		return changed(run)
	})
	for i := range 50 {
		m := command(fmt.Sprint("flood", i), valid)
		env.publish(of("flood", on(fmt.Sprint("flood", i), m)))
	}
	for i := range 8 {
		m := command(fmt.Sprint("other", i), valid)
		env.publish(of("other", on(fmt.Sprint("other", i), m)))
	}
	for i := range 8 {
		env.outcome(fmt.Sprint("other", i))
	}
	close(busy)
	for i := range 50 {
		env.outcome(fmt.Sprint("flood", i))
	}
}

// TestOperationThatOutlivesItsRecordIsNotRepeated purges an operation's events, as retention would,
// and sends the command again.
func TestOperationThatOutlivesItsRecordIsNotRepeated(t *testing.T) {
	t.Parallel()
	var created atomic.Int64
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		NotRepeatable: true,
		LookUp: func(_ context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
			if created.Load() == 0 {
				return operation.Reply{}, false, nil
			}
			result, err := changed(run)
			return result, true, err
		},
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
			created.Add(1)
			return changed(run)
		},
	})
	env.publish(command("1", valid))
	env.outcome("1")
	events := env.stream(topology.StreamEvents)
	if err := events.Purge(t.Context(), jetstream.WithPurgeSubject(topology.EventSubject("contoso", event.DomainDelegation, event.OperationID("contoso", source, "1")))); err != nil {
		t.Fatal(err)
	}
	env.publish(command("1", valid))
	env.outcome("1")
	if created.Load() != 1 {
		t.Errorf("created %d times", created.Load())
	}
	env.wantHistory("1", "delegation.changed")
}

// TestACreateWhoseHandlerBreaksDownIsReadBack: the vendor may have been called by then.
func TestACreateWhoseHandlerBreaksDownIsReadBack(t *testing.T) {
	t.Parallel()
	for name, breakDown := range map[string]func() error{
		"panic":                 func() error { panic("hunter2") },
		"error of another type": func() error { return errors.New("hunter2") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var created, looked atomic.Int64
			env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
				NotRepeatable: true, Vendor: "adaxes",
				LookUp: func(_ context.Context, run *operation.Attempt) (operation.Reply, bool, error) {
					if created.Load() == 0 || looked.Add(1) < 4 { // the effect shows late
						return operation.Reply{}, false, nil
					}
					result, err := changed(run)
					return result, true, err
				},
				Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
					created.Add(1)
					return operation.Reply{}, breakDown()
				},
			}, func(c *operation.Config) { c.CallTimeout = outcomeTimeout })
			env.publish(command("1", valid))
			if e := env.outcome("1"); e.Type() != event.TypeDelegationChanged || created.Load() != 1 {
				t.Errorf("created %d times: %s", created.Load(), e)
			}
			if h := env.history("1"); h[1] != "delegation.unknown" {
				t.Errorf("history %v", h)
			}
		})
	}
}

// TestALongQueueLetsOtherKeysOfItsPartitionPass: the wake-ups of a partition come one after
// another.
func TestALongQueueLetsOtherKeysOfItsPartitionPass(t *testing.T) {
	t.Parallel()
	const queued = 60
	var mu sync.Mutex
	var order []string
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		first := run.Command.ID() == "first" || strings.HasPrefix(run.Command.ID(), "other")
		if first && run.Operation.Attempt == 1 {
			return operation.Reply{}, throttledFor(1)
		}
		<-time.After(20 * time.Millisecond) // the vendor's
		mu.Lock()
		defer mu.Unlock()
		order = append(order, run.Command.ID())
		return changed(run)
	})
	env.publish(on("long", command("first", valid)))
	partition := func(sequence uint64) int {
		address, _ := topology.ParseCommandSubject(env.stored(sequence).Subject)
		return address.Partition
	}
	for i := range queued {
		env.publish(on("long", command(fmt.Sprint("queued", i), valid)))
	}
	other, stored := "", uint64(queued+1)
	for i := 0; other == "" || partition(stored) != partition(1); i++ { // until one is in the same partition
		other, stored = fmt.Sprint("other", i), stored+1
		env.publish(on(other, command(other, valid)))
	}
	env.outcome(fmt.Sprint("queued", queued-1))
	env.outcome(other)
	env.nothingParked()
	mu.Lock()
	defer mu.Unlock()
	if order[len(order)-1] == other {
		t.Errorf("the other key came last: %v", order)
	}
}

func TestACancelIsPlannedOrRefusedAsAsked(t *testing.T) {
	t.Parallel()
	env := setup(t, func(context.Context, *operation.Attempt) (operation.Reply, error) {
		return operation.Reply{}, throttledFor(3600)
	})
	env.publish(command("waits", valid))
	env.await(topology.StreamEvents, topology.EventSubject("contoso", event.DomainDelegation, event.OperationID("contoso", source, "waits")), func(event.Event) bool { return true })
	for i, c := range []struct {
		header, value, of string
		want              string // type of the outcome
	}{
		{"ce-dryrun", "true", "waits", event.PlannedType(event.DomainDelegation)},
		{"ce-dryrun", "true", "nobody", event.FailedType(event.DomainDelegation)},
		{"ce-notbefore", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "waits", event.RejectedType(event.DomainDelegation)},
	} {
		m := command(fmt.Sprint("cancel", i), fmt.Sprintf(`{"operationId":%q}`, event.OperationID("contoso", source, c.of)))
		m.Header["ce-type"], m.Header[c.header] = []string{event.TypeOperationCancel}, []string{c.value}
		env.publish(m)
		if e := env.outcome(fmt.Sprint("cancel", i)); e.Type() != c.want || len(event.Check(e)) > 0 {
			t.Errorf("%s=%s: %s %v", c.header, c.value, e, event.Check(e))
		}
	}
	env.wantHistory("waits", "delegation.waiting")
}

// TestAWriteWhoseAnswerWasLostIsRepeatedWhenItCanNoLongerArrive: a first write that comes late must
// not undo the second, nor what the next command of the key writes.
func TestAWriteWhoseAnswerWasLostIsRepeatedWhenItCanNoLongerArrive(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []time.Time
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		mu.Lock()
		defer mu.Unlock()
		if calls = append(calls, time.Now()); len(calls) == 1 {
			return operation.Reply{}, lost
		}
		return changed(run)
	})
	env.publish(command("1", valid))
	env.publish(command("next", valid))
	env.outcome("1")
	env.outcome("next")
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != 3 || calls[1].Sub(calls[0]) < 290*time.Millisecond { // CallTimeout
		t.Errorf("calls at %v", calls)
	}
}

// TestAShortRetryWaitsInItsSlot: the message is not delivered again for it, and nothing is parked.
func TestAShortRetryWaitsInItsSlot(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if calls.Add(1) <= 3 {
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "not now"}
		}
		return changed(run)
	})
	env.publish(command("1", valid))
	env.outcome("1")
	env.wantHistory("1", "delegation.waiting", "delegation.started", "delegation.waiting", "delegation.started", "delegation.waiting", "delegation.started", "delegation.changed")
	address, _ := topology.ParseCommandSubject(env.stored(1).Subject)
	env.until("it is acknowledged, after one delivery", func() bool {
		cons, err := env.js.Consumer(t.Context(), topology.StreamCommands, bus.CommandConsumer(env.domain, 0, address.Partition).Durable)
		return err == nil && cons.CachedInfo().AckFloor.Stream == 1 && cons.CachedInfo().Delivered.Consumer == 1
	})
	if n := env.stream(topology.StreamParked).CachedInfo().State.LastSeq; n != 0 {
		t.Errorf("PARKED has had %d messages", n)
	}
}

// TestAStopDoesNotWaitForAShortRetry: the command is delivered to another replica at once.
func TestAStopDoesNotWaitForAShortRetry(t *testing.T) {
	t.Parallel()
	patient := func(c *operation.Config) {
		c.ParkAfter = time.Hour
		c.Retries[failure.Unavailable] = operation.Retry{First: outcomeTimeout, Max: outcomeTimeout, Horizon: time.Hour}
	}
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "not now"}
		},
	}, patient)
	env.publish(command("1", valid))
	env.until("it waits", func() bool { return len(env.history("1")) == 1 })
	began := time.Now()
	env.stop()
	if took := time.Since(began); took > outcomeTimeout/4 {
		t.Errorf("the stop took %v", took)
	}
	env.ofWaitingNow(env.subject("1"))
	env.serve(event.TypeDelegationChange, operation.Handler{
		Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) },
	}, patient)
	env.outcome("1")
	env.nothingParked()
}
