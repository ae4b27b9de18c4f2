//go:build failpoints

package operation_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// TestOrderThroughFailovers has two replicas work on keys of which something often waits, on
// streams of three servers each, while the streams change their leaders and a server is lost now
// and then. A leader that answers before it knows all that was committed must not let a command
// overtake those of its key that wait.
//
// MAILWRIGHT_FAILOVER_COMMANDS is how many commands each key has.
func TestOrderThroughFailovers(t *testing.T) {
	t.Parallel()
	const keys = 20
	each, err := strconv.Atoi(os.Getenv("MAILWRIGHT_FAILOVER_COMMANDS"))
	if err != nil {
		each = 4
	}
	c := startCluster(t)
	env := &env{T: t, js: c.jetStream(), log: &logBuffer{}, domain: event.DomainDelegation}
	if err := topology.Ensure(t.Context(), env.js, topology.Config{Partitions: partitions, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	tried, highest := map[string]int{}, map[string]int{}
	for range 2 {
		c.serveWith(env.log, func(cfg *operation.Config) {
			cfg.ParkAfter, cfg.RebalanceInterval, cfg.CallTimeout = 100*time.Millisecond, 2*time.Second, 10*time.Second
			cfg.Handlers = map[string]operation.Handler{event.TypeDelegationChange: {Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
				var key string
				var number int
				if _, err := fmt.Sscanf(run.Command.ID(), "%d-%s", &number, &key); err != nil {
					return operation.Reply{}, err
				}
				mu.Lock()
				defer mu.Unlock()
				if tried[run.Command.ID()]++; tried[run.Command.ID()] == 1 && number%3 == 0 {
					return operation.Reply{}, &failure.Error{Kind: failure.Throttled, RetryAfter: 300 * time.Millisecond, Text: "the vendor asks for less"}
				}
				if number < highest[key] || number > highest[key]+1 {
					t.Errorf("%s: %d took effect after %d", key, number, highest[key])
				}
				highest[key] = max(highest[key], number)
				return changed(run)
			}}}
		})
	}
	// Not for ever: where leaders change faster than they are elected nothing gets on.
	ctx, calm := context.WithTimeout(t.Context(), time.Duration(each)*3*time.Second)
	defer calm()
	var unrest sync.WaitGroup
	unrest.Go(func() { c.unrest(ctx, env) })
	for n := range each {
		for k := range keys {
			key := fmt.Sprint("key", k)
			m := on(key, command(fmt.Sprintf("%d-%s", n+1, key), valid))
			m.Header.Set("Nats-Msg-Id", m.Header.Get("ce-id"))
			env.until("the command is stored", func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				_, err := env.js.PublishMsg(ctx, m)
				return err == nil
			})
		}
	}
	done := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, h := range highest {
			n += h
		}
		return n
	}
	for before := -1; done() < keys*each; before = done() {
		env.until("the next command takes effect", func() bool { return done() > before })
	}
	calm()
	unrest.Wait()
}

// unrest has the streams change their leaders, and now and then stops the server that leads one,
// until ctx ends.
func (c *cluster) unrest(ctx context.Context, env *env) {
	for i := 1; ctx.Err() == nil; i++ {
		for _, stream := range []string{topology.StreamParked, topology.StreamEvents} {
			// There may be no leader, which is no failure of the test's.
			_, _ = env.js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, time.Second)
		}
		if i%20 == 0 {
			gone := i / 20 % len(c.servers)
			c.stop(gone)
			c.start(gone)
		}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}
