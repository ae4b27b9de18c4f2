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

// stopPatience is how long a stop waits for attempts that are under way, before their calls are
// broken off.
const stopPatience = 10 * time.Second

// later is an error that brings a message back after a delay. Nothing is wrong.
type later struct{ after time.Duration }

// Error implements error.
func (l *later) Error() string { return "again in " + l.after.String() }

// Serve runs the engine on every partition of its domain until ctx ends, and then lets what is
// under way finish.
func (e *Engine) Serve(ctx context.Context, partitions int) error {
	e.intake = ctx
	defer e.behind.Wait()
	defer e.end()
	context.AfterFunc(ctx, e.breakOff)
	go e.clock.Keep(ctx)
	logger := watermill.NewSlogLoggerWithLevelMapping(e.Log, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug, slog.LevelError: slog.LevelWarn})
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: stopPatience + 5*time.Second}, untraced{logger})
	if err != nil {
		return err
	}
	router.AddMiddleware(middleware.Recoverer)
	topics, parallel, delay := bus.Topics, 1, nakDelay
	if e.Failpoints.Disabled(failpoint.Ownership) {
		topics, parallel = unordered, unorderedParallel
	}
	if e.Failpoints.Disabled(failpoint.OwnRedelivery) {
		delay = steeredDelay
	}
	subscriber := bus.NewSubscriber(bus.SubscriberConfig{
		JS: e.JS, Consumer: topics, Parallel: parallel, RebalanceInterval: e.RebalanceInterval, NakDelay: delay, Malformed: e.Malformed, CloseTimeout: stopPatience, Logger: e.Log,
	})
	for p := range partitions {
		router.AddConsumerHandler(fmt.Sprintf("%s-%d", e.Domain, p), topology.CommandFilter(e.Domain, p), subscriber, consume(e.command))
		router.AddConsumerHandler(fmt.Sprintf("%s-wake-%d", e.Domain, p), topology.WakeFilter(e.Domain, p), subscriber, consume(e.woken))
	}
	sweep := &sweep{Engine: e, stop: ctx}
	router.AddConsumerHandler(sweep.name(), sweep.name(), sweep.subscriber(), consume(sweep.command))
	// which waits for detached calls too; their wake-ups are scheduled, should they be broken off
	err = router.Run(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil // a start that was cut short is a stop like any other
}

// breakOff ends what a stop has waited for long enough.
func (e *Engine) breakOff() {
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-patience.C:
		e.end()
	case <-e.life.Done():
	}
}

// unordered hands out several commands of a partition at a time; see Config.Unsafe.
func unordered(topic string) (string, jetstream.ConsumerConfig) {
	stream, c := bus.Topics(topic)
	c.MaxAckPending = unorderedParallel
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
	return stream, c
}

const unorderedParallel = 16

// woken is wake for a delivered wake-up. One with a body tells that a scheduled command is due: it
// joins the queue of its key before that is worked off.
func (e *Engine) woken(ctx context.Context, d bus.Delivery, settle func()) error {
	defer e.Failpoints.Reach(failpoint.AcknowledgeWakeUp)
	address, ok := topology.ParseWakeSubject(d.Subject)
	if !ok {
		return e.bury(ctx, letter{Reason: Unreadable, Detail: "its subject is not one of a wake-up"}, d)
	}
	if len(d.Data) > 0 {
		if err := e.parking.join(ctx, address, d.Data); err != nil {
			return err
		}
	}
	return e.wake(ctx, address, settle)
}

// consume makes a Watermill handler of one that may settle its message before it is done.
func consume(handle func(_ context.Context, _ bus.Delivery, settle func()) error) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		d, ok := bus.DeliveryFrom(msg.Context())
		if !ok {
			return errors.New("the message carries no delivery: it does not come from package bus")
		}
		deepen(false)
		err := handle(msg.Context(), d, func() { msg.Ack() })
		if l, ok := errors.AsType[*later](err); ok {
			bus.RedeliverAfter(msg.Context(), l.after)
		}
		return err
	}
}

// nakDelay obeys the engine where it said when, else backs off by the number of deliveries.
func nakDelay(d bus.Delivery, msg *message.Message) time.Duration {
	if after, ok := bus.RedeliveryDelay(msg.Context()); ok {
		return after
	}
	return bus.Backoff(d, msg)
}

// steeredDelay obeys a header of the publisher's; see Config.Unsafe.
func steeredDelay(d bus.Delivery, msg *message.Message) time.Duration {
	if after, err := time.ParseDuration(d.Header.Get("mailwright-retry-after")); err == nil {
		return after
	}
	return nakDelay(d, msg)
}

// untraced leaves out what Watermill tells of every message: its fields are gathered even where
// nobody listens.
type untraced struct{ watermill.LoggerAdapter }

// Trace implements [watermill.LoggerAdapter].
func (untraced) Trace(string, watermill.LogFields) {}

// With implements [watermill.LoggerAdapter].
func (u untraced) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return untraced{u.LoggerAdapter.With(fields)}
}

// deepen has the stack of a message's goroutine grow at once, while there is next to nothing on it:
// to grow in the depth of a schema, frame by frame, costs more than the check does.
//
//go:noinline
func deepen(touch bool) (untouched byte) {
	if touch {
		var room [12 << 10]byte // it is the frame that counts: to touch it would cost more
		untouched = room[time.Now().Nanosecond()%len(room)]
	}
	return untouched
}
