package worker

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
)

// streams checks that JetStream answers and has the streams that a worker reads and writes: a
// connection alone is not enough to work.
func streams(js jetstream.JetStream) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, name := range []string{topology.StreamCommands, topology.StreamEvents, topology.StreamParked, topology.StreamDead} {
			if _, err := js.Stream(ctx, name); err != nil {
				return fmt.Errorf("stream %s: %w", name, err)
			}
		}
		return nil
	}
}
