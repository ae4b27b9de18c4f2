package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// DeleteMessage deletes the message with a sequence from a stream. It is no error if the stream
// does not have it.
func DeleteMessage(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	return unlessGone(ctx, stream, sequence, stream.DeleteMsg(ctx, sequence))
}

// EraseMessage is [DeleteMessage] where the server overwrites the message in its files.
func EraseMessage(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	return unlessGone(ctx, stream, sequence, stream.SecureDeleteMsg(ctx, sequence))
}

// unlessGone is an error of a deletion, or nil if the stream does not have the message. nats.go has
// one error for every refusal, such as that of a stream without a leader, so the stream is asked.
func unlessGone(ctx context.Context, stream jetstream.Stream, sequence uint64, refusal error) error {
	if errors.Is(refusal, jetstream.ErrMsgDeleteUnsuccessful) {
		if _, err := stream.GetMsg(ctx, sequence); errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
	}
	if errors.Is(refusal, jetstream.ErrMsgNotFound) {
		return nil
	}
	return refusal
}
