package bus

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Clock tells the time of the NATS server, so that replicas agree on it whatever their machines'
// clocks say or how they jump: schedules run on the server's clock, and delays must be counted on
// the same. Between two looks at the server it counts on by the machine's monotonic clock.
type Clock struct {
	stream  jetstream.Stream
	machine func() time.Time
	last    atomic.Pointer[reading]
}

// reading is the same moment by two clocks.
type reading struct{ server, machine time.Time }

// lookEvery is how often the server is asked; a clock that is disciplined drifts by less than a
// millisecond meanwhile.
const lookEvery = time.Minute

// NewClock asks the server that holds a stream for its time. machine is nil for time.Now.
func NewClock(ctx context.Context, stream jetstream.Stream, machine func() time.Time) (*Clock, error) {
	if machine == nil {
		machine = time.Now
	}
	c := &Clock{stream: stream, machine: machine}
	return c, c.look(ctx)
}

// Now is the server's time.
func (c *Clock) Now() time.Time {
	r := c.last.Load()
	return r.server.Add(c.machine().Sub(r.machine))
}

// Keep looks at the server's clock now and then, until ctx ends.
func (c *Clock) Keep(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = c.look(ctx) // while the server is away the machine's clock counts on
		}
	}
}

func (c *Clock) look(ctx context.Context) error {
	asked := c.machine()
	info, err := c.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("bus: the server's time: %w", err)
	}
	answered := c.machine()
	r := &reading{server: info.TimeStamp, machine: asked.Add(answered.Sub(asked) / 2)}
	if r.server.IsZero() { // a server before 2.10 does not tell
		r.server = r.machine
	}
	c.last.Store(r)
	return nil
}
