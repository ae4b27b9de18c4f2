package bus_test

import (
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/bus"
)

func TestClockTellsTheServersTime(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	stream := must(js.Stream(t.Context(), "S"))(t)
	for _, wrong := range []time.Duration{0, 26 * time.Hour, -3 * time.Hour} {
		clock := must(bus.NewClock(t.Context(), stream, func() time.Time { return time.Now().Add(wrong) }))(t)
		if off := time.Until(clock.Now()).Abs(); off > time.Second {
			t.Errorf("with a clock that is %v off, the time is %v off", wrong, off)
		}
	}
}
