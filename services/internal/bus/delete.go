package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// DeleteMessage takes a message out of a stream, if it is still there.
func DeleteMessage(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	err := stream.DeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil
	}
	return err
}
