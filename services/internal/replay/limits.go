package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// Reasons why a replay cannot give a row although the live row is right. Each is checked against
// the stream.
const (
	Superseded = "observed again since: MAILBOXES keeps the latest observation alone"
	Aged       = "older than AUDIT keeps"
	Left       = "replayed or discarded since: the letter left DEAD"
	Expired    = "a command without an event, which COMMANDS no longer holds: it is too old, or was discarded with its secret"
	Gone       = "the message that could not be applied left its stream"
)

// reasonNotReplayable returns the reason why a replay cannot give a row; "" if it should. at are
// the positions of the projections.
func (r *run) reasonNotReplayable(ctx context.Context, table string, d Difference, at map[string]int64) (string, error) {
	switch {
	case table == "mailbox_inventory" && d.Kind != Missing:
		// The stream may have replaced the message that the live row reflects by a newer one before
		// the replay read it.
		subject := topology.MailboxSubject(d.text("tenant"), d.text("mailbox_key"))
		newer, err := r.hasNewer(ctx, topology.StreamMailboxes, subject, at["mailbox_inventory"])
		return reasonIf(Superseded, newer), err
	case d.Kind != Surplus:
	case table == "dead_letters":
		gone, err := r.isGone(ctx, topology.StreamDead, d.number("sequence"))
		return reasonIf(Left, gone), err
	case table == "audit":
		gone, err := r.isGone(ctx, topology.StreamAudit, d.number("last_sequence"))
		return reasonIf(Aged, gone), err
	case table == "operations":
		if d.number("last_sequence") != 0 {
			return "", nil
		}
		stream, err := r.JS.Stream(ctx, topology.StreamCommands)
		if err != nil {
			return "", err
		}
		gone, err := commandIsGone(ctx, stream, d)
		return reasonIf(Expired, gone), err
	case table == "projection_errors":
		gone, err := r.isGone(ctx, d.text("stream"), d.number("sequence"))
		return reasonIf(Gone, gone), err
	}
	return "", nil
}

// commandIsGone reports whether COMMANDS no longer holds the command that a row was made from. It
// reads the commands of its key.
func commandIsGone(ctx context.Context, stream jetstream.Stream, d Difference) (bool, error) {
	state := stream.CachedInfo().State
	received, err := time.Parse(time.RFC3339, d.text("received_at"))
	if err != nil || state.Msgs == 0 || received.Before(state.FirstTime) {
		return err == nil, err
	}
	tenant, domain, key := d.text("tenant"), event.Domain(d.text("domain")), d.text("key")
	for _, filter := range topology.KeyFilters(tenant, domain, key) {
		for sequence := uint64(1); ; sequence++ {
			m, err := stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(filter))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				return false, fmt.Errorf("stream %s: %w", topology.StreamCommands, err)
			}
			command, err := event.ReadCommand(m.Header, m.Data)
			if err == nil && event.OperationOf(tenant, command.Event) == d.text("operation_id") {
				return false, nil
			}
			sequence = m.Sequence
		}
	}
	return true, nil
}

func reasonIf(why string, holds bool) string {
	if holds {
		return why
	}
	return ""
}

// hasNewer reports whether a subject has a message after a sequence.
func (r *run) hasNewer(ctx context.Context, name, subject string, than int64) (bool, error) {
	stream, err := r.JS.Stream(ctx, name)
	if err != nil {
		return false, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && int64(m.Sequence) > than, err
}

// isGone reports whether the message at a sequence was deleted from the stream.
func (r *run) isGone(ctx context.Context, name string, sequence int64) (bool, error) {
	stream, err := r.JS.Stream(ctx, name)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", name, err)
	}
	_, found, err := bus.Read(ctx, r.JS, stream, uint64(sequence))
	return err == nil && !found && uint64(sequence) <= stream.CachedInfo().State.LastSeq, err
}

func (d Difference) text(column string) string {
	s, _ := d.row[column].(string)
	return s
}

func (d Difference) number(column string) int64 {
	n, _ := d.row[column].(json.Number)
	i, _ := n.Int64() // no number is 0
	return i
}
