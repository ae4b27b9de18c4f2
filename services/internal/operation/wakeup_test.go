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

// TestAStaleWakeUpIsReplaced: a NATS server that is killed may bring wake-ups back that were
// acknowledged. Their consumer does not deliver them again, so a key that relied on one would never
// be woken.
func TestAStaleWakeUpIsReplaced(t *testing.T) {
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
	if _, err := bus.EnsureConsumer(t.Context(), js, topology.StreamParked, bus.WakeConsumer(key.Domain, key.Lane())); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p := &parking{js: js, parked: parked, now: func() time.Time { return now }}
	ensure := func(want bool, what string) {
		t.Helper()
		if _, scheduled, err := p.ensureWakeUp(t.Context(), key, now.Add(-maxLeaseTime)); err != nil || scheduled != want {
			t.Errorf("%s: scheduled %v %v", what, scheduled, err)
		}
	}

	ensure(false, "a wake-up that has just appeared is left alone")
	now = now.Add(2 * maxLeaseTime)
	ensure(false, "one that its consumer has yet to deliver is left alone however old it is")
	p.js = acked{js}
	ensure(true, "one that its consumer has acknowledged is replaced")
	if m, err := parked.GetMsg(t.Context(), wakeUp.Sequence); err == nil {
		t.Errorf("the stale wake-up is still there: %v", m)
	}
	if _, err := parked.GetLastMsgForSubject(t.Context(), topology.ScheduleSubject(key)); err != nil {
		t.Errorf("nothing is scheduled: %v", err)
	}
}

// acked is a JetStream whose consumers have acknowledged all that it holds.
type acked struct{ jetstream.JetStream }

func (acked) Consumer(context.Context, string, string) (jetstream.Consumer, error) {
	return done{}, nil
}

type done struct{ jetstream.Consumer }

func (done) CachedInfo() *jetstream.ConsumerInfo {
	return &jetstream.ConsumerInfo{AckFloor: jetstream.SequenceInfo{Stream: 1000}}
}
