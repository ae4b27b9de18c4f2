package operation_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/provision"
)

// effects collects what took effect, by key, in this order.
type effects struct {
	mu    sync.Mutex
	order map[string][]string
	calls map[string]int
}

// perform fails now and then, so that commands are parked, in place or for longer than ParkAfter.
func (f *effects) perform(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := run.Command.ID()
	f.calls[id]++
	switch {
	case f.calls[id] == 1 && len(id)%3 == 0:
		return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "not now"}
	case f.calls[id] == 1 && len(id)%3 == 1:
		return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: 300 * time.Millisecond, Text: "not so fast"}
	}
	key := run.Operation.Key
	f.order[key] = append(f.order[key], id)
	return changed(run)
}

// repartition changes the number of partitions, and cuts the change off at a step; "": it does not.
func repartition(t *testing.T, js jetstream.JetStream, partitions int, cutOffAt string) (items []provision.Item) {
	t.Helper()
	s := provision.Settings{Config: topology.Config{Partitions: partitions}}
	s.Reach = func(step string) {
		if step == cutOffAt {
			panic(step)
		}
	}
	defer func() {
		if cutOff := recover(); cutOff != nil && cutOff != cutOffAt {
			panic(cutOff)
		}
	}()
	if err := provision.Apply(t.Context(), js, s, func(i provision.Item) error {
		items = append(items, i)
		return nil
	}); err != nil {
		t.Error(err)
	}
	return items
}

// partitionsNow is the layout of COMMANDS.
func (env *env) partitionsNow() topology.Layout {
	env.Helper()
	layout, err := topology.LayoutOf(env.stream(topology.StreamCommands).CachedInfo().Config)
	if err != nil {
		env.Fatal(err)
	}
	return layout
}

// TestPartitionsChangeWhilePublishersGoOn: keys keep their order, and each command has one outcome,
// while the number of partitions goes from 8 to 16 to 4, two replicas come and go, and each change
// is cut off at each of its steps.
func TestPartitionsChangeWhilePublishersGoOn(t *testing.T) {
	t.Parallel()
	const keys = 40
	f := &effects{order: map[string][]string{}, calls: map[string]int{}}
	env := setupStreams(t, event.DomainDelegation)
	repartition(t, env.js, 8, "")
	env.finishRepartition(8)
	handler := operation.Handler{Perform: f.perform}
	patient := func(c *operation.Config) { c.Budget = operation.Budget{Tenant: 8}; c.Tenants = 2 }
	env.serve(event.TypeDelegationChange, handler, patient)
	stopFirst := env.stop
	env.serve(event.TypeDelegationChange, handler, patient)

	want := map[string][]string{}
	published, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(published)
		pace := time.NewTicker(2 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-pace.C:
			}
			key := fmt.Sprint("key", i%keys)
			id := fmt.Sprintf("%s-%s-%d", key, strings.Repeat("x", i%3), i/keys)
			want[key] = append(want[key], id)
			env.publish(on(key, command(id, valid)))
		}
	}()
	for _, partitions := range []int{16, 4} {
		for _, step := range []string{provision.StepConsumersMade, provision.StepSwitched} {
			repartition(t, env.js, partitions, step)
		}
		stopFirst()
		env.serve(event.TypeDelegationChange, handler, patient)
		stopFirst = env.stop
		repartition(t, env.js, partitions, provision.StepForgotten)
		env.finishRepartition(partitions)
	}
	close(stop)
	<-published
	commands := 0
	for _, ids := range want {
		commands += len(ids)
	}
	env.succeeded(commands)
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, ids := range want {
		if got := f.order[key]; !slices.Equal(got, ids) {
			t.Errorf("%s took effect in the order %v, and was published as %v", key, got, ids)
		}
	}
	env.nothingParked()
	if n := env.deadLetters(); n > 0 {
		t.Errorf("%d dead letters", n)
	}
	if l := env.partitionsNow(); l.Current.Partitions != 4 || l.Previous != nil {
		t.Errorf("the partitions became %+v", l)
	}
	t.Logf("%d commands", commands)
}

// succeeded waits until as many operations succeeded, and checks that each has one outcome.
func (env *env) succeeded(want int) {
	env.Helper()
	ctx, cancel := context.WithTimeout(env.Context(), outcomeTimeout)
	defer cancel()
	all, err := env.js.OrderedConsumer(ctx, topology.StreamEvents, jetstream.OrderedConsumerConfig{})
	if err != nil {
		env.Fatal(err)
	}
	messages, err := all.Messages()
	if err != nil {
		env.Fatal(err)
	}
	defer messages.Stop()
	ended := map[string]bool{}
	for len(ended) < want {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			env.Fatalf("%d of %d have an outcome: %v", len(ended), want, err)
		}
		e, err := event.Decode(m.Headers(), m.Data())
		if err != nil {
			env.Fatal(err)
		}
		if s, ok := event.StateOf(e); !ok || !s.Terminal() {
			continue
		}
		if e.Type() != event.TypeDelegationChanged || ended[m.Subject()] {
			env.Errorf("%s ended as %s, before: %v", m.Subject(), e.Type(), ended[m.Subject()])
		}
		ended[m.Subject()] = true
	}
}

// finishRepartition applies until nothing is left of former partitions.
func (env *env) finishRepartition(partitions int) {
	env.Helper()
	env.until("the former partitions are gone", func() bool {
		for _, i := range repartition(env.T, env.js, partitions, "") {
			if i.State != provision.Unchanged {
				return false
			}
		}
		return true
	})
	for info := range env.stream(topology.StreamCommands).ListConsumers(env.Context()).Info() {
		_, generation, n, ok := topology.ParseCommandFilter(info.Config.FilterSubject)
		if ok && (generation != env.partitionsNow().Current.Number || n >= partitions) {
			env.Errorf("consumer %s is left over", info.Name)
		}
	}
}

// TestLaterCommandsWaitForTheFormerPartitions: a command that was stored after the change is not
// carried out while one from before it is under way, and is carried out right after it.
func TestLaterCommandsWaitForTheFormerPartitions(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	started := make(chan string, 10)
	env := setupStreams(t, event.DomainDelegation)
	handler := operation.Handler{Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		started <- run.Command.ID()
		if run.Command.ID() == "before" {
			<-release
		}
		return changed(run)
	}}
	patient := func(c *operation.Config) { c.ParkAfter, c.CallTimeout = outcomeTimeout, outcomeTimeout }
	env.serve(event.TypeDelegationChange, handler, patient)
	env.publish(on("a", command("before", valid)))
	if id := <-started; id != "before" {
		t.Fatal(id)
	}
	repartition(t, env.js, 16, "")
	env.publish(on("b", command("after", valid)))
	// It decides at its start what it serves.
	env.serve(event.TypeDelegationChange, handler, patient)
	env.until("a new replica serves the former partitions", func() bool { return strings.Count(env.log.String(), "serving partitions") == 2 })
	if strings.Contains(env.log.String(), "generation=1") {
		t.Error("it serves the later partitions")
	}
	for range 2 { // the change is under way, and another one has to wait
		items := repartition(t, env.js, 5, "")
		if !slices.ContainsFunc(items, func(i provision.Item) bool { return i.State == provision.Draining }) ||
			!slices.ContainsFunc(items, func(i provision.Item) bool { return i.State == provision.Stays }) {
			t.Errorf("a second change: %v", items)
		}
	}
	if drained, err := bus.IsDrained(t.Context(), env.js, env.domain, topology.Generation{Partitions: partitions}); drained || err != nil {
		t.Errorf("drained %v, %v", drained, err)
	}
	select {
	case id := <-started:
		t.Errorf("%s was started beside a command from before the change", id)
	default:
	}
	close(release)
	env.outcome("before")
	env.outcome("after")
	env.finishRepartition(16)
}

// TestAConsumerIsHandedOver: a consumer has a setting that no server changes. Its commands go over
// to another one while services run: each is handed out once, and in order.
func TestAConsumerIsHandedOver(t *testing.T) {
	t.Parallel()
	const commands = 200
	env := setupStreams(t, event.DomainDelegation)
	for p := range partitions {
		c := bus.CommandConsumer(env.domain, 0, p)
		c.MaxWaiting = 7
		if _, err := env.js.CreateConsumer(t.Context(), topology.StreamCommands, c); err != nil {
			t.Fatal(err)
		}
		c = bus.WakeConsumer(env.domain, p)
		c.MaxWaiting, c.MaxAckPending = 7, 3
		if _, err := env.js.CreateConsumer(t.Context(), topology.StreamParked, c); err != nil {
			t.Fatal(err)
		}
	}
	c := bus.RecheckConsumer(env.domain)
	c.MaxWaiting = 7
	if _, err := env.js.CreateConsumer(t.Context(), topology.StreamCommands, c); err != nil {
		t.Fatal(err)
	}
	f := &effects{order: map[string][]string{}, calls: map[string]int{}}
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: f.perform})
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: f.perform})
	want := map[string][]string{}
	for i := range commands {
		key := fmt.Sprint("key", i%20)
		id := fmt.Sprintf("%s-%s-%d", key, strings.Repeat("x", i%3), i)
		want[key] = append(want[key], id)
		env.publish(on(key, command(id, valid)))
		if i == commands/2 {
			repartition(t, env.js, 0, "")
		}
	}
	for key, ids := range want {
		for _, id := range ids {
			env.outcome(id)
		}
		f.mu.Lock()
		if got := f.order[key]; !slices.Equal(got, ids) {
			t.Errorf("%s took effect in the order %v", key, got)
		}
		f.mu.Unlock()
	}
	env.finishRepartition(partitions)
	if l := env.partitionsNow(); l.Current != (topology.Generation{Number: 1, Partitions: partitions}) {
		t.Errorf("the partitions are %+v", l.Current)
	}
	wake, err := env.js.Consumer(t.Context(), topology.StreamParked, bus.WakeConsumer(env.domain, 0).Durable)
	if err != nil || wake.CachedInfo().Config.MaxWaiting != 512 || wake.CachedInfo().Config.MaxAckPending != 256 {
		t.Errorf("the consumer of wake-ups: %v, %v", wake, err)
	}
}

// TestPartitionsChangeInACluster: with three servers, each of which transforms subjects by itself,
// no command gets lost between the former partitions and the later ones.
func TestPartitionsChangeInACluster(t *testing.T) {
	t.Parallel()
	const keys = 20
	c := startCluster(t)
	env := &env{T: t, js: c.jetStream(), log: &logBuffer{}, domain: event.DomainDelegation}
	apply := func(partitions int) (left int) {
		s := provision.Settings{Config: topology.Config{Partitions: partitions, Replicas: 3}}
		if err := provision.Apply(t.Context(), env.js, s, func(i provision.Item) error {
			if i.State != provision.Unchanged {
				left++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return left
	}
	apply(2)
	f := &effects{order: map[string][]string{}, calls: map[string]int{}}
	for range 2 {
		c.serveWith(env.log, func(cfg *operation.Config) {
			cfg.ParkAfter, cfg.Retries = 100*time.Millisecond, operation.Retries{failure.Unavailable: {First: time.Millisecond, Max: time.Millisecond, Horizon: time.Hour}, failure.Throttled: {First: time.Millisecond, Max: time.Millisecond, Horizon: time.Hour}}
			cfg.Handlers = map[string]operation.Handler{event.TypeDelegationChange: {Perform: f.perform}}
		})
	}
	publisher := c.jetStream()
	want := map[string][]string{}
	published, stop := make(chan struct{}), make(chan struct{})
	most := 0
	go func() {
		defer close(published)
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-pace.C:
			}
			key := fmt.Sprint("key", i%keys)
			id := fmt.Sprintf("%s-%s-%d", key, strings.Repeat("x", i%3), i/keys)
			refused := 0
			for ; !stored(t, publisher, on(key, command(id, valid))); refused++ {
			}
			most = max(most, refused)
			want[key] = append(want[key], id)
		}
	}()
	for _, partitions := range []int{3, 2} {
		apply(partitions)
		env.until("the former partitions are gone", func() bool { return apply(partitions) == 0 })
	}
	close(stop)
	<-published
	commands := 0
	for _, ids := range want {
		commands += len(ids)
	}
	env.succeeded(commands)
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, ids := range want {
		if got := f.order[key]; !slices.Equal(got, ids) {
			t.Errorf("%s took effect in the order %v, and was published as %v", key, got, ids)
		}
	}
	t.Logf("%d commands, each published again %d times at most", commands, most)
}

// stored publishes a message once, as a publisher does that tries again when it is not told that the
// message is stored.
func stored(t *testing.T, js jetstream.JetStream, m *nats.Msg) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := js.PublishMsg(ctx, m)
	if err != nil {
		t.Logf("published again: %v", err)
	}
	return err == nil
}
