package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// DeleteMessage deletes the message with a sequence from a stream. It is no error if the stream
// does not have it.
func DeleteMessage(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	err := stream.DeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil
	}
	return err
}
