package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// consumers makes or changes all consumers.
func (r *run) consumers(ctx context.Context, l topology.Layout) error {
	for _, d := range event.Domains() {
		list := bus.OtherConsumers(d)
		for _, g := range []*topology.Generation{l.Previous, &l.Current} {
			if g == nil {
				continue
			}
			for _, c := range bus.CommandConsumers(d, *g) {
				c.Config = named(c.Config, *g)
				list = append(list, c)
			}
		}
		for _, want := range list {
			if err := r.consumer(ctx, want); err != nil {
				return fmt.Errorf("consumer %s of stream %s: %w", want.Config.Durable, want.Stream, err)
			}
		}
	}
	return nil
}

// findConsumer reads a consumer.
func (r *run) findConsumer(ctx context.Context, c bus.StreamConsumer) (info jetstream.ConsumerInfo, found bool, err error) {
	consumer, err := r.js.Consumer(ctx, c.Stream, c.Config.Durable)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	return *consumer.CachedInfo(), true, nil
}

// consumer makes or changes one consumer.
func (r *run) consumer(ctx context.Context, want bus.StreamConsumer) error {
	item := Item{Kind: "consumer", Name: want.Stream + "/" + want.Config.Durable, State: Unchanged}
	got, found, err := r.findConsumer(ctx, want)
	if err != nil {
		return err
	}
	if !found {
		item.State = Missing
		if r.apply {
			item.State = Made
			_, err = r.js.CreateConsumer(ctx, want.Stream, want.Config)
		}
		return errors.Join(err, r.tell(item))
	}
	changes := bus.ConsumerChanges(want.Config, got.Config)
	if len(changes) == 0 {
		return r.tell(item)
	}
	item.State, item.Detail = Differs, list(changes)
	if r.apply {
		item.State, err = r.changeConsumer(ctx, want, got)
		if item.State == Stays {
			item.Detail += ": messages of it are being worked on; call this again"
		}
	}
	return errors.Join(err, r.tell(item))
}

// fixedFields are those of a consumer that no server changes, and the filter, whose change would
// leave messages out: see checkNewConsumerConfig of nats-server.
var fixedFields = []string{"filter_subject", "filter_subjects", "deliver_subject", "ack_policy", "max_waiting"}

// fixedChanges are the changes that need a new consumer.
func fixedChanges(want, got jetstream.ConsumerConfig) []topology.Change {
	return slices.DeleteFunc(bus.ConsumerChanges(want, got), func(c topology.Change) bool { return !slices.Contains(fixedFields, c.Field) })
}

// changeConsumer changes a consumer in place if the server can do so. Else the consumer is made
// anew. Those of commands are handed over before: see [run.whyChange].
func (r *run) changeConsumer(ctx context.Context, want bus.StreamConsumer, got jetstream.ConsumerInfo) (State, error) {
	if len(fixedChanges(want.Config, got.Config)) == 0 {
		_, err := r.js.UpdateConsumer(ctx, want.Stream, bus.WithFields(got.Config, want.Config))
		return Changed, err
	}
	if _, _, _, ofCommands := topology.ParseCommandFilter(want.Config.FilterSubject); ofCommands {
		return Stays, nil
	}
	if want.Stream == topology.StreamCommands {
		return Changed, r.replaceRecheck(ctx, want, got)
	}
	return r.replaceWake(ctx, want)
}

// replaceRecheck makes the consumer anew that delivers each command a second time, behind what the
// old one has acknowledged. What that one had not acknowledged is looked at once more, which
// changes nothing.
func (r *run) replaceRecheck(ctx context.Context, want bus.StreamConsumer, got jetstream.ConsumerInfo) error {
	next := want.Config
	next.DeliverPolicy, next.OptStartSeq = jetstream.DeliverByStartSequencePolicy, got.AckFloor.Stream+1
	return r.replace(ctx, want.Stream, next)
}

const (
	// createFailed is JetStream's error code for a consumer that it could not create.
	createFailed = 10012
	// replaceTimeout is how long the server may clear the files of a deleted consumer away.
	replaceTimeout = 10 * time.Second
)

// replace deletes a consumer and makes one of the same name. The server clears the old one's files
// away behind its answer, and refuses the new one if it meets that.
func (r *run) replace(ctx context.Context, stream string, next jetstream.ConsumerConfig) error {
	if err := r.js.DeleteConsumer(ctx, stream, next.Durable); err != nil {
		return err
	}
	_, err := backoff.Retry(ctx, func() (jetstream.Consumer, error) {
		c, err := r.js.CreateConsumer(ctx, stream, next)
		if refusal, ok := errors.AsType[*jetstream.APIError](err); err != nil && (!ok || refusal.ErrorCode != createFailed) {
			err = backoff.Permanent(err)
		}
		return c, err
	}, backoff.WithMaxElapsedTime(replaceTimeout))
	return err
}

const (
	// idleTimeout is how long the wake-ups that are being worked on may take.
	idleTimeout = 20 * time.Second
	// pauseFor is longer: a call that is killed leaves a paused consumer, which goes on by itself.
	pauseFor  = 2 * idleTimeout
	idlePause = 50 * time.Millisecond
)

// replaceWake makes a consumer of wake-ups anew while none of its wake-ups is being worked on: it
// is paused, and those that were delivered are waited for. PARKED is a work queue, so the new
// consumer has exactly what the old one has not acknowledged.
func (r *run) replaceWake(ctx context.Context, want bus.StreamConsumer) (State, error) {
	name := want.Config.Durable
	if _, err := r.js.PauseConsumer(ctx, want.Stream, name, time.Now().Add(pauseFor)); err != nil {
		return Stays, err
	}
	for began := time.Now(); ; {
		info, _, err := r.findConsumer(ctx, want)
		if err != nil {
			return Stays, err
		}
		if info.NumAckPending == 0 {
			break
		}
		if time.Since(began) > idleTimeout {
			_, err := r.js.ResumeConsumer(ctx, want.Stream, name)
			return Stays, err
		}
		select {
		case <-ctx.Done():
			return Stays, context.Cause(ctx)
		case <-time.After(idlePause):
		}
	}
	return Changed, r.replace(ctx, want.Stream, want.Config)
}
