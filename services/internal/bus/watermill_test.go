package bus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/bus"
)

// TestWatermill runs Watermill's conformance suite with each kind of consumer: MaxAckPending 1, the
// pinned client of a partition, and several messages in flight. With -short it uses fewer messages.
func TestWatermill(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")

	features := tests.Features{
		ConsumerGroups: true, // a group is a durable consumer
		Persistent:     true,
		// A lost acknowledgement repeats a delivery: JetStream delivers at least once.
		ExactlyOnceDelivery: false,
		// Set below for the consumers that keep the order.
		GuaranteedOrder: false,
		// A consumer keeps the order with any number of subscribers, or not at all.
		GuaranteedOrderWithSingleSubscriber: false,
		// All subscribers of a topic share its consumer, so a new one does not get acknowledged
		// messages. TestWatermillNewConsumer runs this test with a consumer for each.
		NewSubscriberReceivesOldMessages: false,
		RequireSingleInstance:            false,
		// Contexts do not travel over the wire.
		ContextPreserved: false,
		// The suite's TestReconnect compares with a slice that another goroutine still appends to:
		// it fails by chance, and always under -race. TestNoMessageIsLostThroughServerRestarts
		// tests the same.
		RestartServiceCommand: nil,
		GenerateTopicFunc:     suiteTopic,
	}
	t.Run("OneInFlight", func(t *testing.T) {
		ordered := features
		ordered.GuaranteedOrder = true
		tests.TestPubSub(t, ordered, suitePubSub(js, 1), suiteGroup(js, 1))
	})
	t.Run("Partition", func(t *testing.T) {
		ordered := features
		ordered.GuaranteedOrder = true
		tests.TestPubSub(t, ordered, suitePubSub(js, asPartition), suiteGroup(js, asPartition))
	})
	t.Run("ManyInFlight", func(t *testing.T) {
		tests.TestPubSub(t, features, suitePubSub(js, 8), suiteGroup(js, 8))
	})
}

func TestWatermillNewConsumer(t *testing.T) {
	t.Parallel()
	js := startJetStream(t)
	createStream(t, js, "S")
	tests.TestNewSubscriberReceivesOldMessages(t,
		tests.TestContext{TestID: tests.NewTestID(), Features: tests.Features{
			NewSubscriberReceivesOldMessages: true,
			GenerateTopicFunc:                suiteTopic,
		}},
		func(t *testing.T) (message.Publisher, message.Subscriber) {
			return suiteGroup(js, 1)(t, watermill.NewUUID())
		})
}

// asPartition, in place of a number of messages in flight, is a consumer with a pinned client.
const asPartition = -1

func suiteTopic(c tests.TestContext) string { return "S." + c.TestID.String() }

func suitePubSub(js jetstream.JetStream, parallel int) tests.PubSubConstructor {
	return func(t *testing.T) (message.Publisher, message.Subscriber) {
		return suiteGroup(js, parallel)(t, "default")
	}
}

func suiteGroup(js jetstream.JetStream, parallel int) tests.ConsumerGroupPubSubConstructor {
	return func(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
		return newPublisher(js), bus.NewSubscriber(bus.SubscriberConfig{
			JS:       js,
			Parallel: parallel,
			Consumer: func(topic string) (string, jetstream.ConsumerConfig) {
				c := jetstream.ConsumerConfig{
					Durable:       strings.ReplaceAll(group+"_"+topic, ".", "_"),
					FilterSubject: topic,
					AckPolicy:     jetstream.AckExplicitPolicy,
					AckWait:       5 * time.Second,
					MaxAckPending: parallel,
				}
				if parallel == asPartition {
					c = pinned(c)
				}
				return "S", c
			},
			NakDelay: func(bus.Delivery, *message.Message) time.Duration { return time.Millisecond },
			// The suite closes a subscriber with an unacknowledged message, and waits for the
			// message's context to end.
			CloseTimeout: 2 * time.Second,
			Logger:       quiet,
		})
	}
}
