// Package client publishes commands to Mailwright and awaits their outcomes. It needs a connection
// to NATS and nothing else. Most programs use three functions:
//
//	cmd, err := client.New("contoso", "https://hr.example.com", "joiner-4711", event.MailboxCreateData{
//		DirectoryObject: dn, Parameters: event.MailboxParameters{Alias: "msmith"},
//	})
//	receipt, err := client.Send(ctx, js, cmd)      // stored: it will be carried out
//	outcome, err := client.Await(ctx, js, receipt) // succeeded, failed, rejected or cancelled, and why
//
// Subjects, headers and types are those of schemas/asyncapi.yaml, so a program in another language
// can do the same; services/e2e/plain does so with nats.go alone.
//
// # Sending again
//
// Tenant, source and id identify a command. If a program does not know whether a command was
// stored, it sends the command again with the same source, id and data, also days later: the
// command is carried out once, and Await returns the same outcome. A command with other data under
// a used source and id is not carried out: Await returns a [DeadError] with the reason
// "idempotency-conflict".
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

// ErrNoStreams says that the streams do not exist yet, and what creates them.
var ErrNoStreams = errors.New("the streams are not there yet; the services create them when they start, and so does 'mailwright dev'")

// Receipt identifies a published command and its operation.
type Receipt struct {
	// OperationID is the id of the operation, 26 characters; see [event.OperationID].
	OperationID string `json:"operationId"`
	// Type is the command's CloudEvents type.
	Type string `json:"type"`
	// Commands with the same Tenant, Domain and Key take effect in the order published.
	Tenant string       `json:"tenant"`
	Domain event.Domain `json:"domain"`
	Key    string       `json:"key"`
	// Subject is the NATS subject of the command, Results that of the operation's events.
	Subject string `json:"subject"`
	Results string `json:"results"`
	// Sequence is the command's sequence in COMMANDS, from 1; 0 if it is not published or not
	// known.
	Sequence uint64 `json:"sequence,omitempty"`

	fingerprint string // of the command's type and data; "" if not known
}

// Send stores a command in COMMANDS and returns after the stream has confirmed it. If NATS cannot
// be reached it tries again until ctx ends.
//
// Plain secrets in the data, such as a password, are sealed before if the tenant has published keys
// for it: see [Recipients] and [Command.Seal]. A js that is no [jetstream.JetStream] cannot be
// asked for them: then the secrets go as they are, and the service may reject them.
//
// Errors: an invalid command, as from [Command.Message]; [ErrNoSealer]; [ErrNoStreams]; an error of
// the server; ctx's own. After ctx's own error the command may be stored or not; to send it again
// is safe. Send does not check the data against the schema of the command type: [event.Check] does,
// and the service rejects a command whose data are invalid.
func Send(ctx context.Context, js jetstream.Publisher, c Command) (Receipt, error) {
	c, err := SealForTenant(ctx, js, c)
	if err != nil {
		return Receipt{}, err
	}
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

// Store publishes a message that [Command.Message] returned, and returns after its stream has
// confirmed it. It is for programs that keep messages in an outbox. If NATS cannot be reached it
// tries again until ctx ends. If a confirmation is lost, the message is stored twice, and its
// command is carried out once.
//
// Errors: jetstream.ErrNoStreamResponse if there is no stream for the subject; an error of the
// server; ctx's own.
func Store(ctx context.Context, js jetstream.Publisher, msg *nats.Msg) (*jetstream.PubAck, error) {
	return persist(ctx, func(ctx context.Context) (*jetstream.PubAck, error) { return js.PublishMsg(ctx, msg) })
}

// answerTimeout is how long NATS may take to answer before the request is sent again: requests that
// were sent while the connection broke are lost.
const answerTimeout = 5 * time.Second

// persist repeats a request until NATS answers it or ctx ends. After an attempt that failed at once
// it pauses for the rest of answerTimeout.
func persist[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, answerTimeout)
		v, err := ask(attempt)
		if !isUnavailable(err) || ctx.Err() != nil {
			cancel()
			return v, err
		}
		<-attempt.Done()
		cancel()
	}
}

// isUnavailable reports whether NATS did not answer.
func isUnavailable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrReconnectBufExceeded)
}
