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

	"github.com/mailwright/mailwright/pkg/bus"
)

// retryAfter is the metadata by which a handler tells the subscriber when a message comes back.
const retryAfter = "mailwright-retry-after"

// Serve runs the engine on every partition of its domain until ctx ends, and then lets what is in flight finish.
func (e *Engine) Serve(ctx context.Context, partitions int) error {
	logger := watermill.NewSlogLoggerWithLevelMapping(e.log, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 30 * time.Second}, logger)
	if err != nil {
		return err
	}
	router.AddMiddleware(middleware.Recoverer)
	subscriber := bus.NewSubscriber(bus.SubscriberConfig{
		JS: e.cfg.JS, Consumer: bus.CommandTopics, NakDelay: nakDelay, Malformed: e.Malformed, Logger: e.log,
	})
	for p := range partitions {
		router.AddConsumerHandler(fmt.Sprintf("%s-%d", e.cfg.Domain, p), bus.CommandTopic(e.cfg.Domain, p), subscriber, e.consume)
	}
	if err := router.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil // a start that was cut short is a stop like any other
}

// consume is Handle as Watermill has handlers.
func (e *Engine) consume(msg *message.Message) error {
	d, ok := bus.DeliveryFrom(msg.Context())
	if !ok {
		return errors.New("the message carries no delivery: it does not come from package bus")
	}
	err := e.Handle(msg.Context(), d)
	if later, ok := errors.AsType[*retryLater](err); ok {
		msg.Metadata.Set(retryAfter, later.after.String())
	}
	return err
}

// nakDelay obeys the engine where it said when, else backs off by the number of deliveries.
func nakDelay(d bus.Delivery, msg *message.Message) time.Duration {
	if after, err := time.ParseDuration(msg.Metadata.Get(retryAfter)); err == nil {
		return after
	}
	return bus.Backoff(d, msg)
}
