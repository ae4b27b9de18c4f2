package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	natsgo "github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/services/internal/lease"
)

// Delivery says where a message is stored and how often it has been handed out. Header and
// Data are the message as stored, shared with it: not to be changed.
type Delivery struct {
	Stream, Consumer string
	// Subject is the one stored, after the stream's transform.
	Subject string
	// Sequence is the message's number in the stream.
	Sequence uint64
	// NumDelivered counts this delivery too: it is 1 at first.
	NumDelivered uint64
	// NumPending is how many messages the consumer has not handed out yet.
	NumPending uint64
	// StoredAt is when the stream took the message in.
	StoredAt time.Time
	Header   natsgo.Header
	Data     []byte

	// number counts the consumer's deliveries, whoever they went to.
	number uint64
	// reply is where the server hears what becomes of it.
	reply string
	lease *lease.Lease
	// redeliverAfter is the delay that a handler has chosen; nil: none.
	redeliverAfter *time.Duration
}

// RedeliverAfter says after what delay the message of a context comes back, should its handler
// return an error. The delay travels in the context: a header would be the publisher's to set.
func RedeliverAfter(ctx context.Context, delay time.Duration) {
	if d, ok := ctx.Value(deliveryKey{}).(*Delivery); ok {
		d.redeliverAfter = &delay
	}
}

// RedeliveryDelay is what a handler has chosen by [RedeliverAfter]; ok is false where it has not.
func RedeliveryDelay(ctx context.Context) (delay time.Duration, ok bool) {
	d, found := ctx.Value(deliveryKey{}).(*Delivery)
	if !found || d.redeliverAfter == nil {
		return 0, false
	}
	return *d.redeliverAfter, true
}

// Lease says whether the message is still this process's alone; nil where nothing keeps it from
// others.
func (d Delivery) Lease() *lease.Lease { return d.lease }

// deliveryContext is a context that carries a delivery.
type deliveryContext struct {
	context.Context
	delivery Delivery
}

type deliveryKey struct{}

// Value implements context.Context.
func (c *deliveryContext) Value(key any) any {
	if key == (deliveryKey{}) {
		return &c.delivery
	}
	return c.Context.Value(key)
}

// DeliveryFrom returns the delivery that a message's context carries.
func DeliveryFrom(ctx context.Context) (Delivery, bool) {
	d, ok := ctx.Value(deliveryKey{}).(*Delivery)
	if !ok {
		return Delivery{}, false
	}
	return *d, true
}

func deliveryOf(m *natsgo.Msg) (Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Delivery{}, err
	}
	return Delivery{
		Stream:       meta.Stream,
		Consumer:     meta.Consumer,
		Subject:      m.Subject,
		Sequence:     meta.Sequence.Stream,
		NumDelivered: meta.NumDelivered,
		NumPending:   meta.NumPending,
		StoredAt:     meta.Timestamp,
		Header:       m.Header,
		Data:         m.Data,
		number:       meta.Sequence.Consumer,
		reply:        m.Reply,
	}, nil
}

// unmarshal makes a Watermill message whose metadata are the headers. Watermill's own
// marshaler is not used on this side: it drops the Nats- headers and knows no UUID but its own.
func unmarshal(d Delivery) (*message.Message, error) {
	metadata := make(message.Metadata, len(d.Header))
	for name, values := range d.Header {
		switch {
		case len(values) != 1:
			return nil, fmt.Errorf("header %q has %d values, not one", name, len(values))
		case !utf8.ValidString(name) || !utf8.ValidString(values[0]):
			return nil, fmt.Errorf("header %q is not valid UTF-8", name)
		case name != nats.WatermillUUIDHdr:
			metadata[name] = values[0]
		}
	}
	m := message.NewMessage(uuid(d), d.Data)
	m.Metadata = metadata
	return m, nil
}

// uuid is Watermill's name for the message: a foreign publisher gives none, but perhaps an id
// for JetStream's deduplication.
func uuid(d Delivery) string {
	for _, name := range []string{nats.WatermillUUIDHdr, natsgo.MsgIdHdr} {
		if id := d.Header.Get(name); id != "" {
			return id
		}
	}
	return d.Stream + "/" + strconv.FormatUint(d.Sequence, 10)
}
