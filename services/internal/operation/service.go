package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// stopTimeout is how long a stop waits for attempts that are under way, before their calls are
// broken off.
const stopTimeout = 10 * time.Second

// redeliverAfter is an error that has a message delivered again after a delay. Nothing is wrong.
type redeliverAfter struct{ delay time.Duration }

// Error implements error.
func (r *redeliverAfter) Error() string { return "again in " + r.delay.String() }

// Serve runs the engine on every partition of its domain until ctx ends, and then lets what is
// under way finish. COMMANDS itself says how many partitions there are.
func (e *Engine) Serve(ctx context.Context) error {
	work, breakOff := context.WithCancel(context.WithoutCancel(ctx))
	defer e.background.Wait()
	defer breakOff()
	context.AfterFunc(ctx, func() {
		e.stop()
		endAfter(work, breakOff, stopTimeout)
	})
	go e.clock.Keep(ctx)
	router, err := e.router()
	if err != nil {
		return err
	}
	subscriber := e.subscriber(work)
	e.subscribed.Store(subscriber)
	served := &partitions{engine: e, router: router, subscriber: subscriber, handle: consume(work, e.onCommand)}
	generation, err := served.due(ctx)
	if err != nil {
		return err
	}
	served.serve(generation)
	for lane := range topology.Lanes {
		router.AddConsumerHandler(fmt.Sprintf("%s-wake-%d", e.cfg.Domain, lane), topology.WakeFilter(e.cfg.Domain, lane), subscriber, consume(work, e.onWakeUp))
	}
	recheck := rechecker{e}
	router.AddConsumerHandler(recheck.name(), recheck.name(), recheck.subscriber(), consume(work, recheck.onCommand))
	following, stopFollowing := context.WithCancel(ctx)
	defer stopFollowing()
	e.background.Go(func() {
		select {
		case <-router.Running():
			served.follow(following)
		case <-following.Done():
		}
	})
	e.cfg.Log.Info("serving partitions", "partitions", generation.Partitions, "generation", generation.Number)
	// Run waits for detached calls too. Their wake-ups are scheduled, should they be broken off.
	err = router.Run(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil // a start that was cut short is a stop like any other
}

// router has what happens to every message, from the outside in, before the handler of its topic.
func (e *Engine) router() (*message.Router, error) {
	levels := map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug, slog.LevelError: slog.LevelWarn}
	logger := untraced{watermill.NewSlogLoggerWithLevelMapping(e.cfg.Log, levels)}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: stopTimeout + 5*time.Second}, logger)
	if err != nil {
		return nil, err
	}
	router.AddMiddleware(
		chooseRedelivery,     // an error says when the message comes again
		middleware.Recoverer, // a panic in the engine is an error of its message
	)
	return router, nil
}

// untraced leaves out Watermill's trace of every message: its fields are gathered although nobody
// reads them. Without it a message's way through the Router takes 12 us, with it 8 us, and a plain
// call 2 us (BenchmarkRouter, two cores).
type untraced struct{ watermill.LoggerAdapter }

// Trace implements [watermill.LoggerAdapter].
func (untraced) Trace(string, watermill.LogFields) {}

// With implements [watermill.LoggerAdapter].
func (u untraced) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return untraced{u.LoggerAdapter.With(fields)}
}

// subscriber delivers the commands and wake-ups of the partitions.
func (e *Engine) subscriber(work context.Context) *bus.Subscriber {
	cfg := bus.SubscriberConfig{
		JS: e.cfg.JS, Consumer: bus.Topics, Parallel: 1, RebalanceInterval: e.cfg.RebalanceInterval, NakDelay: nakDelay,
		Malformed: func(_ context.Context, d bus.Delivery, reason error) error {
			return e.malformed(work, d, reason)
		},
		Admission:    admission{e.budgets, e.cfg.Handlers},
		CloseTimeout: stopTimeout, Logger: e.cfg.Log,
	}
	if e.cfg.Tenants != 1 {
		cfg.SetAside = e.parking.setAside
	}
	if e.disabled(failpoint.Ownership) {
		cfg.Consumer, cfg.Parallel = unorderedTopics, unorderedParallel
	}
	if e.disabled(failpoint.OwnRedelivery) {
		cfg.NakDelay = publishersDelay
	}
	return bus.NewSubscriber(cfg)
}

// endAfter ends work after a time, unless it has ended before.
func endAfter(work context.Context, end context.CancelFunc, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		end()
	case <-work.Done():
	}
}

// consume makes a Watermill handler of one of the engine's. The delivery is taken from the
// message's context here and nowhere else. That context ends with the message; a detached call goes
// on, so the handler gets work instead, which ends when a stop has waited for stopTimeout. nil
// acknowledges the message, and ack does so before that. An error has it delivered again.
func consume(work context.Context, handle func(ctx context.Context, d bus.Delivery, ack func()) error) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		d, ok := bus.DeliveryFrom(msg.Context())
		if !ok {
			return errors.New("the message carries no delivery: it does not come from package bus")
		}
		growStack(false)
		return handle(work, d, func() { msg.Ack() })
	}
}

// chooseRedelivery is a middleware that passes the delay of a [redeliverAfter] on to the bus.
func chooseRedelivery(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		out, err := h(msg)
		if r, ok := errors.AsType[*redeliverAfter](err); ok {
			bus.RedeliverAfter(msg.Context(), r.delay)
		}
		return out, err
	}
}

// nakDelay is the delay that the engine has chosen; else it grows with the number of deliveries.
func nakDelay(d bus.Delivery, msg *message.Message) time.Duration {
	if after, ok := bus.RedeliveryDelay(msg.Context()); ok {
		return after
	}
	return bus.Backoff(d, msg)
}

const unorderedParallel = 16

// unorderedTopics has several commands of a key delivered at a time: see [failpoint.Ownership].
func unorderedTopics(topic string) (string, jetstream.ConsumerConfig) {
	stream, c := bus.Topics(topic)
	c.MaxAckPending = unorderedParallel
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
	return stream, c
}

// publishersDelay obeys a header of the publisher's: see [failpoint.OwnRedelivery].
func publishersDelay(d bus.Delivery, msg *message.Message) time.Duration {
	if after, err := time.ParseDuration(d.Header.Get("mailwright-retry-after")); err == nil {
		return after
	}
	return nakDelay(d, msg)
}
