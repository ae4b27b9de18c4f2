package bus

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Clock is the clock of the NATS server. Schedules run on the server's clock, so delays are counted
// on it too: then all processes agree on when a delay ends, whatever their machines' clocks say.
// Between two requests to the server it adds the time that passed on the machine's monotonic clock.
type Clock struct {
	stream  jetstream.Stream
	machine func() time.Time
	last    atomic.Pointer[reading]
}

// reading is one moment on both clocks.
type reading struct{ server, machine time.Time }

// syncInterval is the time between two requests to the server. Two clocks that NTP disciplines
// drift apart by less than a millisecond in it.
const syncInterval = time.Minute

// NewClock requests the time of the server that has a stream. machine is the machine's clock; nil
// is time.Now.
func NewClock(ctx context.Context, stream jetstream.Stream, machine func() time.Time) (*Clock, error) {
	if machine == nil {
		machine = time.Now
	}
	c := &Clock{stream: stream, machine: machine}
	return c, c.sync(ctx)
}

// Now returns the server's time.
func (c *Clock) Now() time.Time {
	r := c.last.Load()
	return r.server.Add(c.machine().Sub(r.machine))
}

// Keep requests the server's time once a minute until ctx ends.
func (c *Clock) Keep(ctx context.Context) {
	tick := time.NewTicker(syncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = c.sync(ctx) // an error leaves the last reading in use
		}
	}
}

func (c *Clock) sync(ctx context.Context) error {
	sent := c.machine()
	info, err := c.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("bus: the server's time: %w", err)
	}
	received := c.machine()
	r := &reading{server: info.TimeStamp, machine: sent.Add(received.Sub(sent) / 2)}
	if r.server.IsZero() { // a server before 2.10 does not send its time
		r.server = r.machine
	}
	c.last.Store(r)
	return nil
}
