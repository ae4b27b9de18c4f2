package operation

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// TestAWakeUpThatNobodyTakesIsReplaced: a NATS server that is killed may bring wake-ups back that
// were taken and acknowledged. Their consumer is past them, so a key that trusts in one sleeps for
// ever.
func TestAWakeUpThatNobodyTakesIsReplaced(t *testing.T) {
	t.Parallel()
	js := StartStreams(t, topology.Config{})
	parked, err := js.Stream(t.Context(), topology.StreamParked)
	if err != nil {
		t.Fatal(err)
	}
	key := topology.Address{Tenant: "contoso", Domain: event.DomainDirectory, Key: "alex"}
	wakeUp, err := js.Publish(t.Context(), topology.WakeSubject(key), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.EnsureConsumer(t.Context(), js, topology.StreamParked, bus.WakeConsumer(key.Domain, key.Partition)); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p := &parking{js: js, parked: parked, now: func() time.Time { return now }}
	rouse := func(want bool, what string) {
		t.Helper()
		if _, roused, err := p.rouse(t.Context(), key, now.Add(-longestLease)); err != nil || roused != want {
			t.Errorf("%s: roused %v %v", what, roused, err)
		}
	}

	rouse(false, "a wake-up that has just come is trusted")
	now = now.Add(2 * longestLease)
	rouse(false, "one that its consumer has yet to hand out is trusted however old it is")
	p.js = past{js}
	rouse(true, "one that its consumer is past is not")
	if m, err := parked.GetMsg(t.Context(), wakeUp.Sequence); err == nil {
		t.Errorf("the ghost is still there: %v", m)
	}
	if _, err := parked.GetLastMsgForSubject(t.Context(), topology.ScheduleSubject(key)); err != nil {
		t.Errorf("nothing is scheduled: %v", err)
	}
}

// past is a JetStream whose consumers have settled what it holds.
type past struct{ jetstream.JetStream }

func (p past) Consumer(context.Context, string, string) (jetstream.Consumer, error) {
	return done{}, nil
}

type done struct{ jetstream.Consumer }

func (done) CachedInfo() *jetstream.ConsumerInfo {
	return &jetstream.ConsumerInfo{AckFloor: jetstream.SequenceInfo{Stream: 1000}}
}
