package deadletters

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// eraseSecret removes the command of a dead letter from COMMANDS if it may hold a secret, and if
// only a replay could have brought it back. The services remove all others by themselves.
func (d *Stream) eraseSecret(ctx context.Context, l Letter) error {
	if r := l.Content.Reason; r != operation.AckedWithoutOutcome && r != operation.RecordUnreadable {
		return nil
	}
	original, err := d.Original(ctx, l)
	if err != nil || original == nil {
		return err
	}
	address, ok := topology.ParseCommandSubject(original.Subject)
	if !ok || mismatch(l, original, address, identify(original, address)) != "" || !mayHoldSecret(original) {
		return nil
	}
	commands, err := d.js.Stream(ctx, topology.StreamCommands)
	if err != nil {
		return fmt.Errorf("stream %s: %w", topology.StreamCommands, err)
	}
	if err := bus.EraseMessage(ctx, commands, original.Sequence); err != nil {
		return fmt.Errorf("remove the command of dead letter %d, which may hold a secret: %w", l.Sequence, err)
	}
	return nil
}

// mayHoldSecret reports whether a command may hold a secret. It is true of one that does not fit
// its schema, if its type has secrets: nobody knows where they are.
func mayHoldSecret(m *jetstream.RawStreamMsg) bool {
	command, err := event.ReadCommand(m.Header, m.Data)
	invalid := err != nil || len(command.Check()) > 0 && event.MayHoldSecrets(command.Event.Type())
	return invalid || len(command.Secrets()) > 0 || event.HoldsSecret(m.Header, m.Data)
}
