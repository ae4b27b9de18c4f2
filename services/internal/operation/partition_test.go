package operation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// TestKeysSideBySide works off a backlog: many keys of few partitions, side by side, while each
// key's commands take effect in the order published, and each once, whatever the attempts that fail
// on the way. A second engine takes part.
func TestKeysSideBySide(t *testing.T) {
	t.Parallel()
	const keys, each = 60, 5
	var mu sync.Mutex
	order, calls := map[string][]string{}, map[string]int{}
	var underWay, most atomic.Int64
	handler := operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		n := underWay.Add(1)
		defer underWay.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond) // a vendor's call
		mu.Lock()
		defer mu.Unlock()
		id := run.Command.ID()
		calls[id]++
		switch {
		case calls[id] == 1 && len(id)%3 == 0: // tried again in its slot
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "not now"}
		case calls[id] == 1 && len(id)%3 == 1: // longer than ParkAfter: parked
			return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: 300 * time.Millisecond, Text: "not so fast"}
		}
		order[run.Operation.Key] = append(order[run.Operation.Key], id)
		return changed(run)
	}}
	env := setupStreams(t, event.DomainDelegation)
	var want []string
	for i := range each {
		for k := range keys {
			id := fmt.Sprintf("%d-%d", k, i)
			want = append(want, id)
			env.publish(on(fmt.Sprint("key", k), command(id, valid)))
		}
	}
	noBudget := func(c *operation.Config) { c.Budget = operation.Budget{} }
	env.serve(event.TypeDelegationChange, handler, noBudget)
	env.serve(event.TypeDelegationChange, handler, noBudget)
	for _, id := range want {
		if e := env.outcome(id); e.Type() != event.TypeDelegationChanged {
			t.Fatalf("%s ended as %s", id, e)
		}
	}
	for k := range keys {
		got := order[fmt.Sprint("key", k)]
		for i := range each {
			if len(got) != each || got[i] != fmt.Sprintf("%d-%d", k, i) {
				t.Fatalf("key %d took effect in the order %v", k, got)
			}
		}
	}
	if most.Load() <= 2*partitions {
		t.Errorf("%d calls at a time at most, with %d partitions in two processes: nothing went side by side", most.Load(), partitions)
	}
	env.until("every delivery is acknowledged", func() bool {
		for p := range partitions {
			c, err := env.js.Consumer(t.Context(), topology.StreamCommands, bus.CommandConsumer(event.DomainDelegation, 0, p).Durable)
			if err != nil || c.CachedInfo().NumPending > 0 || c.CachedInfo().NumAckPending > 0 {
				return false
			}
		}
		return true
	})
}

// TestKeysThatWaitedAreWorkedOffSideBySide: with one at a time a partition, an outage's backlog
// would take so much longer than the outage.
func TestKeysThatWaitedAreWorkedOffSideBySide(t *testing.T) {
	t.Parallel()
	const keys, each, inPlace = 10 * partitions, 3, 3
	var mu sync.Mutex
	order := map[string][]string{}
	var woken atomic.Int64
	all := make(chan struct{})
	env := setupStreams(t, event.DomainDelegation)
	handler := operation.Handler{Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		key, id := run.Operation.Key, run.Command.ID()
		if first := strings.HasSuffix(id, "-0"); first && run.Operation.Attempt <= inPlace+1 {
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "not now"}
		} else if first {
			if woken.Add(1) == keys {
				close(all)
			}
			select {
			case <-all:
			case <-ctx.Done():
				return operation.Reply{}, ctx.Err()
			}
		}
		mu.Lock()
		defer mu.Unlock()
		order[key] = append(order[key], id)
		return changed(run)
	}}
	for i := range each {
		for k := range keys {
			env.publish(on(fmt.Sprint("key", k), command(fmt.Sprintf("%d-%d", k, i), valid)))
		}
	}
	patient := func(c *operation.Config) {
		c.ParkAfter, c.CallTimeout, c.Budget = outcomeTimeout, outcomeTimeout, operation.Budget{}
	}
	env.serve(event.TypeDelegationChange, handler, patient)
	env.serve(event.TypeDelegationChange, handler, patient)
	for k := range keys {
		var want []string
		for i := range each {
			want = append(want, fmt.Sprintf("%d-%d", k, i))
			env.outcome(want[i])
		}
		mu.Lock()
		if got := order[fmt.Sprint("key", k)]; !slices.Equal(got, want) {
			t.Errorf("key %d took effect in the order %v", k, got)
		}
		mu.Unlock()
	}
	env.nothingParked()
}

// TestTheUnreadableHoldsUpNothing: what is behind it on its key comes after it.
func TestTheUnreadableHoldsUpNothing(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	for i := range 20 {
		env.publish(on(fmt.Sprint("key", i), command(fmt.Sprint("good", i), valid)))
		bad := on(fmt.Sprint("key", i), command(fmt.Sprint("bad", i), valid))
		bad.Header["ce-id"] = []string{fmt.Sprint("bad", i), "another"}
		env.publish(bad)
		env.publish(on(fmt.Sprint("key", i), command(fmt.Sprint("behind", i), valid)))
	}
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) }})
	for i := range 20 {
		env.outcome(fmt.Sprint("good", i))
		env.outcome(fmt.Sprint("behind", i))
		if h := env.history(fmt.Sprint("bad", i)); len(h) > 0 {
			t.Errorf("a message with a header twice was carried out: %v", h)
		}
	}
	stream := env.stream(topology.StreamDead)
	if n := stream.CachedInfo().State.Msgs; n != 20 {
		t.Errorf("%d dead letters, want one for each of 20 malformed messages", n)
	}
}

// TestBudgetKeepsAFloodFromStarvingOthers: beyond its budget a tenant's commands wait, parked,
// while those of others pass.
func TestBudgetKeepsAFloodFromStarvingOthers(t *testing.T) {
	t.Parallel()
	var flood, maxFlood atomic.Int64
	release := make(chan struct{})
	env := setupStreams(t, event.DomainDelegation)
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Tenant == "flood" {
			n := flood.Add(1)
			defer flood.Add(-1)
			for m := maxFlood.Load(); n > m && !maxFlood.CompareAndSwap(m, n); m = maxFlood.Load() {
			}
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return changed(run)
	}}, func(c *operation.Config) { c.Budget.Tenant = 3 })
	const flooding = 40
	for i := range flooding {
		m := on(fmt.Sprint("flood", i), command(fmt.Sprint("flood", i), valid))
		env.publish(of("flood", m))
	}
	for i := range 10 {
		env.publish(on(fmt.Sprint("other", i), command(fmt.Sprint("other", i), valid)))
	}
	for i := range 10 {
		env.outcome(fmt.Sprint("other", i)) // while no call of the flood has ended
	}
	if maxFlood.Load() > 3 {
		t.Errorf("%d calls of one tenant at a time, with a budget of 3", maxFlood.Load())
	}
	env.until("a command waits for the limit", func() bool {
		for i := range flooding {
			if h := env.history(fmt.Sprint("flood", i)); len(h) > 0 && h[0] == "delegation.waiting" {
				return true
			}
		}
		return false
	})
	close(release)
	for i := range flooding {
		id := fmt.Sprint("flood", i)
		e := env.outcome(id)
		var data event.DelegationChangedData
		if err := e.DataAs(&data); err != nil || data.Operation.Attempt != 1 {
			t.Errorf("%s: to wait for the limit is no attempt: %+v %v", id, data.Operation, err)
		}
	}
}

// TestACommandThatIsParkedTwiceIsRemoved: a parked message that the engine gave up to send, but
// that was stored all the same, must not hold up its key. The wake-up is scheduled before, so the
// command is found finished and removed.
func TestACommandThatIsParkedTwiceIsRemoved(t *testing.T) {
	t.Parallel()
	env := setupStreams(t, event.DomainDelegation)
	begun, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		once.Do(func() { close(begun); <-release }) // longer than ParkAfter: the command is parked
		return changed(run)
	}}, func(c *operation.Config) {
		c.JS = &forgetful{JetStream: c.JS, subject: topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: event.DomainDelegation, Key: "alex"})}
	})
	env.publish(command("1", valid))
	<-begun
	env.publish(command("2", valid))
	env.until("the command is in PARKED", func() bool { return env.parked("alex") > 0 })
	close(release)
	env.outcome("1")
	env.outcome("2")
	env.until("it is removed", func() bool { return env.parked("alex") == 0 })
}

// forgetful is a JetStream of which the first answer to a publish on a subject is lost.
type forgetful struct {
	jetstream.JetStream
	subject string
	forgot  atomic.Bool
}

func (f *forgetful) Publish(ctx context.Context, subject string, data []byte, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := f.JetStream.Publish(ctx, subject, data, options...)
	if subject == f.subject && f.forgot.CompareAndSwap(false, true) {
		return nil, context.DeadlineExceeded
	}
	return ack, err
}

// parked counts what waits on a key.
func (env *env) parked(key string) uint64 {
	env.Helper()
	stream := env.stream(topology.StreamParked)
	info, err := stream.Info(env.Context(), jetstream.WithSubjectFilter(topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: env.domain, Key: key})))
	if err != nil {
		env.Fatal(err)
	}
	var n uint64
	for _, each := range info.State.Subjects {
		n += each
	}
	return n
}

// TestAVendorThatHangsLeavesTheOtherAlone floods a service with commands for a vendor that does not
// answer, more than may outlast ParkAfter.
func TestAVendorThatHangsLeavesTheOtherAlone(t *testing.T) {
	t.Parallel()
	const flood = 400
	for name, tenant := range map[string]func(i int) string{
		"one tenant":   func(int) string { return "contoso" },
		"many tenants": func(i int) string { return fmt.Sprint("tenant", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := make(chan struct{})
			env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{Vendor: "hangs", Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
				<-answer
				return changed(run)
			}}, func(c *operation.Config) {
				c.Budget = operation.Budget{Tenant: 24, Vendor: 128}
				c.Handlers[event.TypeDelegationSet] = operation.Handler{Vendor: "answers", Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) { return changed(run) }}
			})
			defer close(answer)
			for i := range flood {
				id := fmt.Sprint("flood", i)
				env.publish(of(tenant(i), on(id, command(id, valid))))
			}
			for i := range 20 {
				m := command(fmt.Sprint("other", i), `{"mailbox":"alex@contoso.com","delegates":[]}`)
				m.Header["ce-type"] = []string{event.TypeDelegationSet}
				env.publish(on(fmt.Sprint("other", i), m))
				if e := env.outcome(fmt.Sprint("other", i)); e.Type() != event.TypeDelegationChanged {
					t.Errorf("%s", e)
				}
			}
		})
	}
}
