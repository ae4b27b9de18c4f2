package streams

import (
	"cmp"
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// state is what a part is like at the server.
type state string

const (
	unchanged state = "ok"
	missing   state = "missing"
	differs   state = "differs"
	made      state = "made"
)

type status struct {
	State  state  `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// part is a stream, or a consumer.
type part struct {
	kind, name string
	// check holds what the server has against what it must have. errMissing: it has nothing.
	check  func(context.Context, jetstream.JetStream) (different, err error)
	create func(context.Context, jetstream.JetStream) error
}

var errMissing = errors.New("missing")

func (p part) look(ctx context.Context, js jetstream.JetStream) (status, error) {
	different, err := p.check(ctx, js)
	switch {
	case errors.Is(err, errMissing):
		return status{State: missing}, nil
	case err != nil:
		return status{}, err
	case different != nil:
		return status{differs, different.Error()}, nil
	default:
		return status{State: unchanged}, nil
	}
}

// parts are all streams, and then all consumers.
func parts(c topology.Config) []part {
	var list []part
	for _, want := range topology.Streams(c) {
		list = append(list, streamPart(want))
	}
	for _, d := range event.Domains() {
		for _, want := range bus.Consumers(d, cmp.Or(c.Partitions, topology.DefaultPartitions)) {
			list = append(list, consumerPart(want))
		}
	}
	return list
}

func streamPart(want jetstream.StreamConfig) part {
	return part{
		kind: "stream", name: want.Name,
		check: func(ctx context.Context, js jetstream.JetStream) (different, err error) {
			stream, err := js.Stream(ctx, want.Name)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil, errMissing
			}
			if err != nil {
				return nil, err
			}
			return topology.CheckStream(want, stream.CachedInfo().Config), nil
		},
		create: func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateStream(ctx, want)
			return err
		},
	}
}

func consumerPart(want bus.StreamConsumer) part {
	return part{
		kind: "consumer", name: want.Stream + "/" + want.Config.Durable,
		check: func(ctx context.Context, js jetstream.JetStream) (different, err error) {
			consumer, err := js.Consumer(ctx, want.Stream, want.Config.Durable)
			if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil, errMissing
			}
			if err != nil {
				return nil, err
			}
			return bus.CheckConsumer(want.Stream, want.Config, consumer.CachedInfo().Config), nil
		},
		create: func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateConsumer(ctx, want.Stream, want.Config)
			return err
		},
	}
}
