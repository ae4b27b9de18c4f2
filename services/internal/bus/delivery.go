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

// Delivery is a delivered or a stored message, with its place in the stream. Header and Data are
// shared with others and must not be changed.
type Delivery struct {
	Stream, Consumer string
	// Subject is the subject after the stream's transform.
	Subject string
	// Sequence is the stream sequence.
	Sequence uint64
	// NumDelivered is 1 for the first delivery. It is 0 for a message that was read from the
	// stream.
	NumDelivered uint64
	// StoredAt is when the stream stored the message.
	StoredAt time.Time
	Header   natsgo.Header
	Data     []byte

	// consumerSequence numbers the consumer's deliveries to all processes.
	consumerSequence uint64
	// replyTo is the subject for acknowledgements.
	replyTo string
	lease   *lease.Lease
	permit  Permit
	// redeliverAfter is the delay that a handler has set; nil without one.
	redeliverAfter *time.Duration
}

// RedeliverAfter sets the delay of the redelivery, in case the handler that runs under ctx nacks
// its message. The delay is a value of the context rather than a header, because publishers set
// headers.
func RedeliverAfter(ctx context.Context, delay time.Duration) {
	if d, ok := ctx.Value(deliveryKey{}).(*Delivery); ok {
		d.redeliverAfter = &delay
	}
}

// RedeliveryDelay returns the delay that was set by [RedeliverAfter]; ok is false if there is none.
func RedeliveryDelay(ctx context.Context) (delay time.Duration, ok bool) {
	d, found := ctx.Value(deliveryKey{}).(*Delivery)
	if !found || d.redeliverAfter == nil {
		return 0, false
	}
	return *d.redeliverAfter, true
}

// Lease is the lease of the message: while it is valid no other process has received it. It is nil
// for a message that has no lease: of a consumer without a pinned client, or read from the stream.
func (d Delivery) Lease() *lease.Lease { return d.lease }

// ReleasePermit gives back the permit of [Admission] under which the message was started. It may be
// called again. A handler calls it as soon as it no longer uses what the admission limits, and at
// its end at the latest.
func (d Delivery) ReleasePermit() { d.permit.release() }

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
		Stream:           meta.Stream,
		Consumer:         meta.Consumer,
		Subject:          m.Subject,
		Sequence:         meta.Sequence.Stream,
		NumDelivered:     meta.NumDelivered,
		StoredAt:         meta.Timestamp,
		Header:           m.Header,
		Data:             m.Data,
		consumerSequence: meta.Sequence.Consumer,
		replyTo:          m.Reply,
	}, nil
}

// unmarshal makes a Watermill message whose metadata are the headers. Watermill's own marshaler
// does not serve for received messages: it drops the Nats- headers, and accepts no UUID but its
// own.
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

// uuid returns the UUID of the Watermill message. Only Watermill's publishers send one. Others may
// send an id for JetStream's deduplication.
func uuid(d Delivery) string {
	for _, name := range []string{nats.WatermillUUIDHdr, natsgo.MsgIdHdr} {
		if id := d.Header.Get(name); id != "" {
			return id
		}
	}
	return d.Stream + "/" + strconv.FormatUint(d.Sequence, 10)
}
