package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// DeleteMessage deletes the message with a sequence from a stream. It is no error if the stream
// does not have it.
func DeleteMessage(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	return unlessGone(stream.DeleteMsg(ctx, sequence))
}

// EraseMessage is [DeleteMessage] where the server overwrites the message in its files.
func EraseMessage(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	return unlessGone(stream.SecureDeleteMsg(ctx, sequence))
}

func unlessGone(err error) error {
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil
	}
	return err
}
