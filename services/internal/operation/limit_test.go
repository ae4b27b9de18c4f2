package operation_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// callCounter counts the calls of a tenant that are under way.
type callCounter struct{ now, most atomic.Int64 }

func (c *callCounter) begin() {
	n := c.now.Add(1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
}

func (c *callCounter) end() { c.now.Add(-1) }

// TestABurstOverTheLimitCostsNoEvent: the commands of a burst are carried out by twos, in the order
// of each key, without a word about their wait. Those of another tenant pass.
func TestABurstOverTheLimitCostsNoEvent(t *testing.T) {
	t.Parallel()
	const burst, limit, keys = 200, 2, 40
	var calls callCounter
	last := make([]atomic.Int64, keys) // the last command of each key
	env := setupStreams(t, event.DomainDelegation)
	for i := range burst {
		id := fmt.Sprint("burst", i)
		env.publish(of("burst", on(fmt.Sprint("key", i%keys), command(id, valid))))
	}
	env.publish(on("other", command("other", valid)))
	var before atomic.Int64 // commands of the burst that were carried out before that of the other
	var done atomic.Int64
	env.serve(event.TypeDelegationChange, operation.Handler{Vendor: "v", Perform: func(_ context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Tenant != "burst" {
			before.Store(done.Load())
			return changed(run)
		}
		calls.begin()
		defer calls.end()
		time.Sleep(5 * time.Millisecond) // a vendor's call
		var i int64
		if _, err := fmt.Sscanf(run.Command.ID(), "burst%d", &i); err != nil {
			t.Error(err)
		}
		if earlier := last[i%keys].Swap(i + 1); earlier > i {
			t.Errorf("command %d came after command %d of its key", i, earlier-1)
		}
		done.Add(1)
		return changed(run)
	}}, func(c *operation.Config) { c.Budget.Tenant = limit })
	env.outcome("other")
	for i := range burst {
		id := fmt.Sprint("burst", i)
		env.outcome(id)
		env.wantHistory(id, "delegation.changed")
	}
	if n := calls.most.Load(); n != limit {
		t.Errorf("%d calls of a tenant at a time, with a limit of %d", n, limit)
	}
	if n := before.Load(); n > burst/2 {
		t.Errorf("%d of %d commands of a burst went before another tenant's", n, burst)
	}
	env.nothingParked()
}

// TestAStopReturnsWhatIsHeldBack: a replica that stops begins no more calls. Another one carries
// out what the first has held back, and what waited for a slot there.
func TestAStopReturnsWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	const burst, limit = 40, 2
	release := make(chan struct{})
	var first, second callCounter
	var begun atomic.Int64
	env := setupStreams(t, event.DomainDelegation)
	serve := func(calls *callCounter) {
		env.serve(event.TypeDelegationChange, operation.Handler{Vendor: "v", Perform: func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
			calls.begin()
			defer calls.end()
			begun.Add(1)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return changed(run)
		}}, func(c *operation.Config) { c.Budget.Tenant, c.ParkAfter = limit, outcomeTimeout })
	}
	serve(&first)
	for i := range burst {
		env.publish(on(fmt.Sprint("key", i), command(fmt.Sprint(i), valid)))
	}
	env.until("the limit is reached", func() bool { return first.now.Load() == limit })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		env.stop()
	}()
	env.until("the stop has begun", func() bool { return strings.Contains(env.log.String(), "partition released") })
	close(release)
	<-stopped
	if n := begun.Load(); n != limit {
		t.Errorf("%d calls were begun, of %d that were under way at the stop", n, limit)
	}
	serve(&second)
	for i := range burst {
		env.outcome(fmt.Sprint(i))
		env.wantHistory(fmt.Sprint(i), "delegation.changed")
	}
	if n := second.most.Load(); n > limit {
		t.Errorf("%d calls of a tenant at a time, with a limit of %d", n, limit)
	}
}
