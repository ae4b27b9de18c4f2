package bus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// TestAWorkQueueHasOneReader is why the guard is not used, beside its rate: COMMANDS could not be
// read by the recheck, nor by a projection.
func TestAWorkQueueHasOneReader(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createWorkQueue(t, js, topology.DefaultPartitions)
	must(js.CreateConsumer(t.Context(), topology.StreamCommands, bus.CommandConsumer(event.DomainMailbox, 0, 0)))(t)
	for name, c := range map[string]jetstream.ConsumerConfig{
		"the recheck":  bus.RecheckConsumer(event.DomainMailbox),
		"a projection": {AckPolicy: jetstream.AckNonePolicy},
	} {
		if _, err := js.CreateConsumer(t.Context(), topology.StreamCommands, c); err == nil {
			t.Errorf("the server lets %s read a work queue", name)
		}
	}
}

// headGuard keeps the order of each key without an owner. COMMANDS is a work queue in its runs: an
// acknowledged message is deleted. So the oldest message stored on a key's subject is the head of
// the key's queue, and a message starts when it is the head. The subject of a message is its key's
// alone.
//
// No request reads the oldest messages of several subjects, as multi_last does for the latest. So
// each message costs at least one direct read.
type headGuard struct {
	stream jetstream.Stream // nil: this run has no guard

	mu    sync.Mutex
	freed map[string]chan struct{} // by subject; closed when a message of it is done
}

const (
	// headPoll is the pause between two reads of a message that is not the head. Its predecessor
	// may be with another process, which does not tell this one when it is done.
	headPoll = 5 * time.Millisecond
	// headTimeout is how long a message may wait in its slot. Then it is nacked: the head that
	// it waits for may need the slot, if it was with a process that is lost.
	headTimeout = 500 * time.Millisecond
	// headSlots is how many messages of a partition a process may have in flight. It is as many as
	// the owner of a partition has.
	headSlots = 64
)

// createWorkQueue creates COMMANDS as a work queue.
func createWorkQueue(tb testing.TB, js jetstream.JetStream, partitions int) {
	tb.Helper()
	for _, stream := range topology.Streams(topology.Config{Partitions: partitions}) {
		if stream.Name == topology.StreamCommands {
			stream.Retention = jetstream.WorkQueuePolicy
			must(js.CreateStream(tb.Context(), stream))(tb)
		}
	}
}

func newHeadGuard(b *testing.B, e *partitionEnv, js jetstream.JetStream) *headGuard {
	b.Helper()
	g := &headGuard{freed: map[string]chan struct{}{}}
	if e.order == byHead {
		g.stream = must(js.Stream(b.Context(), topology.StreamCommands))(b)
	}
	return g
}

func (g *headGuard) parallel() int {
	if g.stream == nil {
		return 0
	}
	return headSlots
}

// nakDelay is short for a message that waits for its head.
func (g *headGuard) nakDelay(d bus.Delivery, m *message.Message) time.Duration {
	if g.stream == nil {
		return bus.Backoff(d, m)
	}
	return 100 * time.Millisecond
}

// await reports whether a message became the head of its key in time.
func (g *headGuard) await(ctx context.Context, d bus.Delivery) bool {
	if g.stream == nil {
		return true
	}
	for deadline := time.Now().Add(headTimeout); time.Now().Before(deadline); {
		freed := g.next(d.Subject)
		head, err := g.stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(d.Subject))
		if err == nil && head.Sequence == d.Sequence {
			return true
		}
		select {
		case <-freed:
		case <-time.After(headPoll):
		}
	}
	return false
}

// next returns a channel that is closed when the next message of a subject is done here.
func (g *headGuard) next(subject string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.freed[subject] == nil {
		g.freed[subject] = make(chan struct{})
	}
	return g.freed[subject]
}

// done wakes the messages that wait for this one.
func (g *headGuard) done(d bus.Delivery) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if freed := g.freed[d.Subject]; freed != nil {
		close(freed)
		delete(g.freed, d.Subject)
	}
}
