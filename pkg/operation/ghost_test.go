package operation

import (
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// TestAWakeUpThatNobodyTakesIsReplaced: a NATS server that is killed may bring wake-ups back that were taken and acknowledged. Their consumer
// is past them, so a key that trusts in one sleeps for ever.
func TestAWakeUpThatNobodyTakesIsReplaced(t *testing.T) {
	t.Parallel()
	js := StartStreams(t, bus.Config{})
	parked, err := js.Stream(t.Context(), bus.Parked)
	if err != nil {
		t.Fatal(err)
	}
	key := bus.Address{Domain: event.Directory, Key: "alex"}
	ghost, err := js.Publish(t.Context(), bus.WakeSubject(key), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p := &parking{js: js, parked: parked, step: func(string) {}, now: func() time.Time { return now }}

	if _, roused, err := p.rouse(t.Context(), key, now.Add(-longestLease)); err != nil || roused {
		t.Errorf("a wake-up that has just come is trusted: %v %v", roused, err)
	}
	now = now.Add(2 * longestLease)
	if _, roused, err := p.rouse(t.Context(), key, now.Add(-longestLease)); err != nil || !roused {
		t.Errorf("an old one is not: %v %v", roused, err)
	}
	if m, err := parked.GetMsg(t.Context(), ghost.Sequence); err == nil {
		t.Errorf("the ghost is still there: %v", m)
	}
	if _, err := parked.GetLastMsgForSubject(t.Context(), bus.ScheduleSubject(key)); err != nil {
		t.Errorf("nothing is scheduled: %v", err)
	}
}
