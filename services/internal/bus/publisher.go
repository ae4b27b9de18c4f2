package bus

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publisher is Watermill's Publisher over JetStream: a topic is a subject, metadata are headers.
type Publisher struct {
	js        jetstream.Publisher
	marshaler nats.NATSMarshaler
}

// NewPublisher returns a Publisher that uses the connection of js and leaves it open.
func NewPublisher(js jetstream.Publisher) *Publisher { return &Publisher{js: js} }

// Publish stores the messages one after another, each within its own context, and returns after the
// first that the stream did not confirm. JetStream refuses a repetition of the metadata
// "Nats-Msg-Id" within the stream's window; that counts as stored. A message without it gets its
// topic and UUID as its id: the window spans all subjects of a stream, and the same message
// published to two topics is meant for both. Further "Nats-" metadata, such as
// Nats-Expected-Last-Subject-Sequence, act as JetStream defines them, so a message that was
// received is not to be passed on with all its metadata.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
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

// Close does nothing: every message has been confirmed, and the connection is not ours.
func (p *Publisher) Close() error { return nil }
