// Package client is Mailwright as a publisher of commands sees it: publish, await the outcome, follow the
// streams, and say in one line what an event means.
package client

import (
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

// Prepare makes the message of a command. The key "" stands for [Key].
//
// Nats-Msg-Id names the operation and what is asked, so that a repetition is stored once, but another
// command under the same id is not swallowed: the service finds the conflict.
func Prepare(e event.Event, key string, mode event.Mode) (*nats.Msg, Receipt, error) {
	domain := event.DomainOf(e.Type())
	if domain == "" {
		return nil, Receipt{}, fmt.Errorf("type %s belongs to no domain of Mailwright", e.Type())
	}
	if key == "" {
		key = Key(e)
	}
	switch {
	case key == "":
		return nil, Receipt{}, fmt.Errorf("%s has nothing to derive a key from; give one", Short(e.Type()))
	case len(key) > longestKey:
		return nil, Receipt{}, fmt.Errorf("the key has %d bytes; %d are allowed", len(key), longestKey)
	}
	header, body, err := event.Encode(e, mode)
	if err != nil {
		return nil, Receipt{}, err
	}
	id := event.OperationID(e.Source(), e.ID())
	r := Receipt{
		OperationID: id, Type: e.Type(), Domain: domain, Key: key,
		Subject: bus.CommandSubject(domain, key), Results: bus.EventSubject(domain, id), fingerprint: event.Fingerprint(e),
	}
	header.Set(nats.MsgIdHdr, id+"."+r.fingerprint[:16])
	return &nats.Msg{Subject: r.Subject, Header: header, Data: body}, r, nil
}

// Publish stores a command and returns when the stream has confirmed it. An error leaves open whether it is
// stored; publishing the same event again is safe. The key "" stands for [Key].
func Publish(ctx context.Context, js jetstream.Publisher, e event.Event, key string, mode event.Mode) (Receipt, error) {
	msg, receipt, err := Prepare(e, key, mode)
	if err != nil {
		return Receipt{}, err
	}
	ack, err := store(ctx, js, msg)
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

func store(ctx context.Context, js jetstream.Publisher, msg *nats.Msg) (*jetstream.PubAck, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, confirmation)
		ack, err := js.PublishMsg(attempt, msg)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return ack, err
		}
	}
}
