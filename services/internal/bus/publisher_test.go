package bus_test

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publisher is Watermill's Publisher over JetStream: a topic is a subject, metadata are headers.
// Watermill's conformance suite, which tests bus.Subscriber, needs one. No program does.
type publisher struct {
	js        jetstream.Publisher
	marshaler nats.NATSMarshaler
}

// newPublisher returns a publisher over js, whose connection it leaves open.
func newPublisher(js jetstream.Publisher) *publisher { return &publisher{js: js} }

// Publish stores the messages one after another, each under its own context. It returns the first
// error. A message with a "Nats-Msg-Id" that the stream has stored within its duplicate window
// counts as stored. A message without one gets its topic and UUID as the id: the window spans all
// subjects of a stream, so an id without the topic would drop a message that is published to a
// second topic. JetStream interprets all "Nats-" metadata, so a received message must not be
// published again with its metadata.
func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	for _, msg := range messages {
		m, err := p.marshaler.Marshal(topic, msg)
		if err != nil {
			return fmt.Errorf("bus: message %s for %s: %w", msg.UUID, topic, err)
		}
		var options []jetstream.PublishOpt
		if m.Header.Get(natsgo.MsgIdHdr) == "" && msg.UUID != "" {
			options = append(options, jetstream.WithMsgID(topic+"/"+msg.UUID))
		}
		if _, err := p.js.PublishMsg(msg.Context(), m, options...); err != nil {
			return fmt.Errorf("bus: publish to %s: %w", topic, err)
		}
	}
	return nil
}

// Close does nothing: every message is confirmed, and the connection belongs to the caller.
func (p *publisher) Close() error { return nil }
