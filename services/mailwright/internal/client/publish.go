// Package client is Mailwright as a publisher of commands sees it: publish, await the outcome, follow the
// streams, and say in one line what an event means.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
)

// ErrNoStreams says that the streams have not been created yet, and what creates them.
var ErrNoStreams = errors.New("the streams are not there yet; the services create them when they start, and so does 'mailwright dev'")

// longestKey keeps the subject, in which a byte of the key may take three, under NATS' limit of about 4,000 bytes.
const longestKey = 1000

// Receipt says where a published command stands, and where its outcome will.
type Receipt struct {
	OperationID string       `json:"operationId"`
	Type        string       `json:"type"`
	Domain      event.Domain `json:"domain"`
	Key         string       `json:"key"`
	// Subject of the command, and of the operation's events.
	Subject string `json:"subject"`
	Results string `json:"results"`
	// Sequence of the command in COMMANDS; 0 before it is published.
	Sequence uint64 `json:"sequence,omitempty"`
	// Duplicate says that the same command stood there already.
	Duplicate bool `json:"duplicate,omitempty"`

	fingerprint string
}

// Target says where a command goes. The zero Target derives both from the command.
type Target struct {
	// Domain is needed where the type belongs to every domain: operation.cancel.
	Domain event.Domain
	// Key "" stands for [Key].
	Key string
}

// of gives the target of a command, with what is left out filled in.
func (t Target) of(e event.Event) (Target, error) {
	t.Key = cmp.Or(t.Key, Key(e))
	own := event.DomainOf(e.Type())
	switch {
	case own == "" && !event.IsCommand(e.Type()):
		return t, fmt.Errorf("type %s belongs to no domain of Mailwright", e.Type())
	case own == "" && t.Domain == "":
		return t, fmt.Errorf("%s needs a domain: that of the operation", Short(e.Type()))
	case own != "" && t.Domain != "" && own != t.Domain:
		return t, fmt.Errorf("%s goes to the domain %s, not to %s", Short(e.Type()), own, t.Domain)
	case t.Key == "":
		return t, fmt.Errorf("%s has nothing to derive a key from; give one", Short(e.Type()))
	case len(t.Key) > longestKey:
		return t, fmt.Errorf("the key has %d bytes; %d are allowed", len(t.Key), longestKey)
	}
	t.Domain = cmp.Or(t.Domain, own)
	return t, nil
}

// Prepare makes the message of a command.
//
// Nats-Msg-Id names the operation and what is asked, so that a repetition is stored once, but another
// command under the same id is not swallowed: the service finds the conflict.
func Prepare(e event.Event, to Target, mode event.Mode) (*nats.Msg, Receipt, error) {
	to, err := to.of(e)
	if err != nil {
		return nil, Receipt{}, err
	}
	header, body, err := event.Encode(e, mode)
	if err != nil {
		return nil, Receipt{}, err
	}
	id := event.OperationID(e.Source(), e.ID())
	r := Receipt{
		OperationID: id, Type: e.Type(), Domain: to.Domain, Key: to.Key,
		Subject: bus.CommandSubject(to.Domain, to.Key), Results: bus.EventSubject(to.Domain, id), fingerprint: event.Fingerprint(e),
	}
	header.Set(nats.MsgIdHdr, id+"."+r.fingerprint[:16])
	return &nats.Msg{Subject: r.Subject, Header: header, Data: body}, r, nil
}

// Publish stores a command and returns when the stream has confirmed it. An error leaves open whether it is
// stored; publishing the same event again is safe.
func Publish(ctx context.Context, js jetstream.Publisher, e event.Event, to Target, mode event.Mode) (Receipt, error) {
	msg, receipt, err := Prepare(e, to, mode)
	if err != nil {
		return Receipt{}, err
	}
	ack, err := Store(ctx, js, msg)
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return Receipt{}, fmt.Errorf("no stream takes %s: %w", receipt.Subject, ErrNoStreams)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", Short(e.Type()), err)
	}
	receipt.Sequence, receipt.Duplicate = ack.Sequence, ack.Duplicate
	return receipt, nil
}

// confirmation is how long a stream may take to confirm a message until it is offered again: what was sent while
// the connection broke is lost. Its Nats-Msg-Id keeps it from being stored twice.
const confirmation = 5 * time.Second

// Store publishes a message that has a Nats-Msg-Id, and returns when its stream has confirmed it.
func Store(ctx context.Context, js jetstream.Publisher, msg *nats.Msg) (*jetstream.PubAck, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, confirmation)
		ack, err := js.PublishMsg(attempt, msg)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return ack, err
		}
	}
}
