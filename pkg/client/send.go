// Package client is Mailwright for Go programs that publish commands: make a command, store it
// until the stream has confirmed it, and await what becomes of it. It needs a connection to NATS
// and nothing else; [Send] and [Await] are most of it.
//
//	cmd, err := client.New("contoso", "https://hr.example.com", "joiner-4711", event.MailboxCreateData{DirectoryObject: dn, Parameters: event.MailboxParameters{Alias: "msmith"}})
//	receipt, err := client.Send(ctx, js, cmd)      // stored: it will be carried out
//	outcome, err := client.Await(ctx, js, receipt) // succeeded, failed, rejected or cancelled, and why
//
// The subjects, headers and types are those of schemas/asyncapi.yaml, so that a program in another
// language does the same by hand; services/e2e/plain does so with nats.go alone.
//
// # Sending again
//
// A command is known by its tenant, source and id. Whoever does not know whether a command was
// stored sends it again, with the same source, id and data, also days later: it is carried out
// once, and Await gives the same outcome. Other data under a used source and id are a mistake; that
// command is not carried out, and Await gives a [DeadError] with the reason "idempotency-conflict".
package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
)

// ErrNoStreams says that the streams have not been created yet, and what creates them.
var ErrNoStreams = errors.New("the streams are not there yet; the services create them when they start, and so does 'mailwright dev'")

// Receipt says where a published command stands, and where its outcome will.
type Receipt struct {
	// OperationID is [event.OperationID] of the command: 26 characters.
	OperationID string `json:"operationId"`
	// Type is the command's CloudEvents type.
	Type string `json:"type"`
	// Commands with the same Tenant, Domain and Key take effect in the order published.
	Tenant string       `json:"tenant"`
	Domain event.Domain `json:"domain"`
	Key    string       `json:"key"`
	// Subject of the command, and of the operation's events.
	Subject string `json:"subject"`
	Results string `json:"results"`
	// Sequence of the command in COMMANDS, from 1; 0 before it is published.
	Sequence uint64 `json:"sequence,omitempty"`

	fingerprint string // of the command's type and data; "": not known
}

// Send stores a command and returns when the stream has confirmed it. While NATS is away it holds
// on until ctx ends.
//
// Errors: what is wrong with the command ([Command.Message]); [ErrNoStreams]; ctx's own. An error
// of the last kind leaves open whether the command is stored; sending it again is safe. Whether the
// data are what the type asks for is not checked here but by the service, which rejects the
// command; [event.Check] tells before.
func Send(ctx context.Context, js jetstream.Publisher, c Command) (Receipt, error) {
	msg, receipt, err := c.Message()
	if err != nil {
		return Receipt{}, err
	}
	ack, err := Store(ctx, js, msg)
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return Receipt{}, fmt.Errorf("no stream takes %s: %w", receipt.Subject, ErrNoStreams)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", c.Type(), err)
	}
	receipt.Sequence = ack.Sequence
	return receipt, nil
}

// Store publishes a message that [Command.Message] has made, and returns when its stream has
// confirmed it: for a program that keeps its messages in an outbox. While NATS is away it holds on
// until ctx ends. A message whose confirmation was lost is stored twice; its command is carried out
// once.
func Store(ctx context.Context, js jetstream.Publisher, msg *nats.Msg) (*jetstream.PubAck, error) {
	return persist(ctx, func(ctx context.Context) (*jetstream.PubAck, error) { return js.PublishMsg(ctx, msg) })
}

// answer is how long NATS may take to answer until it is asked again: what was sent
// while the connection broke is lost.
const answer = 5 * time.Second

// persist asks again while NATS is away. An attempt that fails at once is followed by a pause, for
// the rest of its time.
func persist[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, answer)
		v, err := ask(attempt)
		if !away(err) || ctx.Err() != nil {
			cancel()
			return v, err
		}
		<-attempt.Done()
		cancel()
	}
}

// away reports whether an error means that NATS did not answer, rather than what it answered.
func away(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrReconnectBufExceeded)
}
