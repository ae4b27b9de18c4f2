package operation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestADueCommandJoinsItsKeysQueue behind what waits there when it is due, and before what comes
// later.
func TestADueCommandJoinsItsKeysQueue(t *testing.T) {
	t.Parallel()
	var j journal
	open := make(chan struct{})
	env := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "head" {
			select {
			case <-open:
			default:
				return operation.Reply{}, throttledFor(1)
			}
		}
		return j.perform(ctx, run)
	})
	soon := at(time.Second)
	env.publish(command("head", valid))
	env.until("the head waits", func() bool { return env.parked("alex") == 1 })
	env.publish(with("notbefore", soon, command("scheduled", valid)))
	env.publish(with("notbefore", soon, command("scheduled as well", valid))) // at the same time
	env.publish(command("behind", valid))
	env.until("all are queued", func() bool { return env.parked("alex") == 4 })
	env.publish(command("later", valid))
	env.until("the last is queued", func() bool { return env.parked("alex") == 5 })
	close(open)
	env.outcome("later")
	if got, want := j.list(), []string{"head", "behind", "scheduled", "scheduled as well", "later"}; !slices.Equal(got, want) {
		t.Errorf("carried out %v, want %v", got, want)
	}
	env.nothingParked()
}

// TestSchedulesOutliveTheService, and two replicas carry each command out once.
func TestSchedulesOutliveTheService(t *testing.T) {
	t.Parallel()
	const commands = 20
	var j journal
	handler := operation.Handler{Perform: j.perform}
	env := setupStreams(t, event.DomainDelegation)
	env.serve(event.TypeDelegationChange, handler)
	due := time.Now().Add(3 * time.Second)
	for i := range commands {
		id := fmt.Sprint(i)
		env.publish(with("notbefore", due.UTC().Format(time.RFC3339Nano), on(fmt.Sprint("key", i/2), command(id, valid))))
	}
	for i := range commands {
		env.until("it is scheduled", func() bool { return len(env.history(fmt.Sprint(i))) > 0 })
	}
	env.stop()
	if got := j.list(); len(got) > 0 {
		t.Errorf("carried out %v before it was due", got)
	}
	env.serve(event.TypeDelegationChange, handler)
	env.serve(event.TypeDelegationChange, handler)
	for i := range commands {
		id := fmt.Sprint(i)
		if e := env.outcome(id); e.Type() != event.TypeDelegationChanged || e.Time().Before(due.Add(-100*time.Millisecond)) || j.count(id) != 1 {
			t.Errorf("%s: %d calls, %s", id, j.count(id), e)
		}
	}
	env.nothingParked()
}

// TestAScheduledCommandIsCancelledOnceItIsDue: it waits in its queue like any other then.
func TestAScheduledCommandIsCancelledOnceItIsDue(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		j.add(run.Command.ID())
		return operation.Reply{}, throttledFor(3600)
	})
	env.publish(command("head", valid))
	env.until("the head waits", func() bool { return env.parked("alex") == 1 })
	env.publish(with("notbefore", at(time.Second), command("scheduled", valid)))
	env.until("it has joined the queue", func() bool { return env.parked("alex") == 2 })
	for i, id := range []string{"scheduled", "head"} {
		env.publish(cancelOf(fmt.Sprint("cancel", i), id))
		if e := env.outcome(fmt.Sprint("cancel", i)); e.Type() != event.TypeCancelCompleted {
			t.Errorf("%s: %s", id, e)
		}
		env.wantHistory(id, "delegation.waiting", "delegation.cancelled")
	}
	env.nothingQueued()
	if got := j.list(); !slices.Equal(got, []string{"head"}) {
		t.Errorf("carried out %v", got)
	}
}

func TestWhatIsDueIsCarriedOutAtOnce(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, j.perform)
	env.publish(with("notbefore", at(-time.Hour), command("past", valid)))
	env.outcome("past")
	env.wantHistory("past", "delegation.changed")
}

// TestAPlanIsMadeWhenItIsDue: the plan is of that moment.
func TestAPlanIsMadeWhenItIsDue(t *testing.T) {
	t.Parallel()
	var j journal
	env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
		Perform: j.perform,
		Plan: func(context.Context, *operation.Attempt) (event.Plan, error) {
			return event.Plan{Target: "alex@contoso.com", Exists: true}, nil
		},
	})
	due := time.Now().Add(2 * time.Second)
	plan := with("dryrun", "true", with("notbefore", due.UTC().Format(time.RFC3339Nano), command("1", valid)))
	env.publish(plan)
	e := env.outcomeOn(resultsOf(plan))
	if e.Type() != event.PlannedType(event.DomainDelegation) || e.Time().Before(due.Add(-100*time.Millisecond)) || len(j.list()) > 0 {
		t.Errorf("carried out %v, %s", j.list(), e)
	}
	env.nothingParked()
}

// TestAWakeUpThatComesTooEarly schedules its command once more.
func TestAWakeUpThatComesTooEarly(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, j.perform)
	due := time.Now().Add(3 * time.Second)
	env.publish(with("notbefore", due.UTC().Format(time.RFC3339Nano), command("1", valid)))
	env.until("it is scheduled", func() bool { return len(env.history("1")) > 0 })
	address, _ := topology.ParseCommandSubject(env.stored(1).Subject)
	schedules := env.messagesOn(topology.StreamParked, "mailwright.notbefore.>")
	for range 2 {
		env.publishRaw(topology.WakeSubject(address), nil, string(schedules[0].Data))
	}
	if e := env.outcome("1"); e.Type() != event.TypeDelegationChanged || e.Time().Before(due.Add(-100*time.Millisecond)) || j.count("1") != 1 {
		t.Errorf("%d calls, %s", j.count("1"), e)
	}
	env.wantHistory("1", "delegation.waiting", "delegation.started", "delegation.changed")
	env.nothingParked()
}

// TestRecheckIsDoneWithWhatIsScheduled: a year's joiners must not keep it from finding what is
// lost.
func TestRecheckIsDoneWithWhatIsScheduled(t *testing.T) {
	t.Parallel()
	const scheduled = 20
	var j journal
	env := setupStreams(t, event.DomainDelegation)
	env.publish(command("taken", valid))
	env.ackExternally(env.stored(1))
	for i := range scheduled {
		env.publish(with("notbefore", at(time.Hour), on(fmt.Sprint("key", i), command(fmt.Sprint(i), valid))))
	}
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform}, recheckSoon)
	if l := env.dead(operation.AckedWithoutOutcome); l.ID != "taken" {
		t.Errorf("%+v", l)
	}
	if n := env.rechecked(); n != 1 || len(j.list()) > 0 {
		t.Errorf("%d dead letters, carried out %v", n, j.list())
	}
	if n := len(env.messagesOn(topology.StreamParked, "mailwright.notbefore.>")); n != scheduled {
		t.Errorf("%d schedules", n)
	}
}

// TestRecheckSchedulesAgain what has lost its schedule.
func TestRecheckSchedulesAgain(t *testing.T) {
	t.Parallel()
	var j journal
	env := setupStreams(t, event.DomainDelegation)
	env.publish(with("notbefore", at(5*time.Second), command("1", valid)))
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform}, func(c *operation.Config) { c.RecheckAfter = 2 * time.Second })
	parked := env.stream(topology.StreamParked)
	schedule := strings.Replace(env.subject("1"), "mailwright.evt.", "mailwright.notbefore.", 1)
	env.until("it is scheduled", env.has(parked, schedule))
	if err := parked.Purge(t.Context(), jetstream.WithPurgeSubject(schedule)); err != nil {
		t.Fatal(err)
	}
	if e := env.outcome("1"); e.Type() != event.TypeDelegationChanged || j.count("1") != 1 {
		t.Errorf("%d calls, %s", j.count("1"), e)
	}
	if n := env.rechecked(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestRecheckLooksWhileACommandBecomesDue: the server publishes its wake-up a moment after.
func TestRecheckLooksWhileACommandBecomesDue(t *testing.T) {
	t.Parallel()
	const commands, delay = 8, 1500 * time.Millisecond
	var j journal
	env := setupStreams(t, event.DomainDelegation)
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform}, func(c *operation.Config) { c.RecheckAfter = delay })
	for i := range commands {
		env.publish(with("notbefore", at(delay), on(fmt.Sprint("key", i), command(fmt.Sprint(i), valid))))
	}
	for i := range commands {
		if e := env.outcome(fmt.Sprint(i)); e.Type() != event.TypeDelegationChanged {
			t.Errorf("%s", e)
		}
	}
	if n := env.rechecked(); n != 0 || len(j.list()) != commands {
		t.Errorf("%d dead letters, carried out %v", n, j.list())
	}
}

// TestADuplicateOnAnotherKeyDoesNotStop what waits behind it there.
func TestADuplicateOnAnotherKeyDoesNotStop(t *testing.T) {
	t.Parallel()
	var j journal
	answer := make(chan struct{})
	env := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "slow" {
			<-answer
		}
		return j.perform(ctx, run)
	})
	env.publish(on("a", command("slow", valid)))
	env.until("it is under way", func() bool { return len(env.history("slow")) > 0 })
	env.publish(on("b", command("slow", valid)))
	env.until("the duplicate waits", func() bool { return env.parked("b") == 1 })
	env.publish(on("b", command("behind", valid)))
	env.until("the next is behind it", func() bool { return env.parked("b") == 2 })
	woken := map[uint64]bool{}
	env.until("the key of the duplicate has been woken while the call goes on", func() bool {
		for _, m := range env.messagesOn(topology.StreamParked, "mailwright.schedule.contoso.delegation.b") {
			woken[m.Sequence] = true
		}
		return len(woken) > 2
	})
	close(answer)
	ended := time.Now()
	env.outcome("behind")
	if took := time.Since(ended); took > 10*time.Second { // the lease is 300 ms, the recheck comes after 10 minutes
		t.Errorf("the next command waited for %v", took)
	}
	env.outcome("slow")
	if j.count("slow") != 1 || j.count("behind") != 1 {
		t.Errorf("carried out %v", j.list())
	}
	env.nothingParked()
}
