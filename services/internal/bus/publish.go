package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNotLast is the error of [PublishIfLast] that the subject's last message is another one than
// expected.
var ErrNotLast = errors.New("the subject has a newer message than expected")

// maxPublishPause bounds the pauses between the attempts of [PublishIfLast].
const maxPublishPause = 5 * time.Second

// PublishIfLast publishes a message if last is the stream sequence of the last message on its
// subject. 0 expects that the subject has no message. It returns the sequence of the stored
// message.
//
// While JetStream is unavailable (see [IsUnavailable]) it tries again until ctx ends, with pauses
// of half a second to five seconds. The end of ctx does not interrupt an attempt, because the
// message may be stored by then: the attempt's own timeout (5 s in nats.go) bounds the wait.
//
// Errors:
//   - [ErrNotLast]: another message was published first; or this one was stored by an attempt whose
//     confirmation was lost. Read the subject again to find out.
//   - an error that wraps the cause of ctx's end: nobody knows whether the message was stored.
//   - any other error: the stream refused the message, and would refuse it again.
//
// It sets the headers Nats-Expected-Last-Subject-Sequence and Nats-Msg-Id of m. The id is new for
// each call. A replicated stream compares ids before it compares sequences, so there an attempt
// whose confirmation was lost finds its own message instead of [ErrNotLast]. Two writers must never
// share an id: such a stream would confirm the message of one writer to the other.
func PublishIfLast(ctx context.Context, js jetstream.Publisher, m *nats.Msg, last uint64) (sequence uint64, err error) {
	pauses := backoff.NewExponentialBackOff()
	pauses.MaxInterval = maxPublishPause
	id := rand.Text()
	var failure error // of the last attempt
	ack, err := backoff.Retry(ctx, func() (*jetstream.PubAck, error) {
		if err := ctx.Err(); err != nil {
			return nil, backoff.Permanent(err)
		}
		var ack *jetstream.PubAck
		ack, failure = js.PublishMsg(context.WithoutCancel(ctx), m,
			jetstream.WithMsgID(id), jetstream.WithExpectLastSequencePerSubject(last))
		if failure != nil && !IsUnavailable(failure) {
			return nil, backoff.Permanent(failure)
		}
		return ack, failure
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(0))
	if isWrongLastSequence(failure) {
		return 0, fmt.Errorf("bus: publish to %s: %w: %w", m.Subject, ErrNotLast, failure)
	}
	if err != nil {
		return 0, fmt.Errorf("bus: publish to %s: %w", m.Subject, errors.Join(err, failure))
	}
	return ack.Sequence, nil
}

func isWrongLastSequence(err error) bool {
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refusal.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
