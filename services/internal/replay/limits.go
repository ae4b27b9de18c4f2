package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// What a replay cannot give, although the live rows are right. Each needs the stream to say so.
const (
	Superseded = "observed again since: MAILBOXES keeps the latest observation alone"
	Left       = "replayed or discarded since: the letter left DEAD"
	Expired    = "a command without an event, older than COMMANDS keeps"
	Gone       = "the message that could not be applied left its stream"
)

// reasonNotReplayable gives the reason why a replay cannot give a row, or "".
func (r *run) reasonNotReplayable(ctx context.Context, table string, d Difference, at map[string]int64) (string, error) {
	switch {
	case table == "mailbox_inventory" && d.Kind != Missing:
		// The replay may have seen an earlier one, and come too late for the one that the live row
		// reflects.
		subject := topology.MailboxSubject(d.text("tenant"), d.text("mailbox_key"))
		newer, err := r.hasNewer(ctx, topology.StreamMailboxes, subject, at["mailbox_inventory"])
		return reasonIf(Superseded, newer), err
	case d.Kind != Surplus:
	case table == "dead_letters":
		gone, err := r.isGone(ctx, topology.StreamDead, d.number("sequence"))
		return reasonIf(Left, gone), err
	case table == "operations":
		if d.number("last_sequence") != 0 {
			return "", nil
		}
		stream, err := r.JS.Stream(ctx, topology.StreamCommands)
		if err != nil {
			return "", err
		}
		state := stream.CachedInfo().State
		received, err := time.Parse(time.RFC3339, d.text("received_at"))
		return reasonIf(Expired, state.Msgs == 0 || received.Before(state.FirstTime)), err
	case table == "projection_errors":
		gone, err := r.isGone(ctx, d.text("stream"), d.number("sequence"))
		return reasonIf(Gone, gone), err
	}
	return "", nil
}

func reasonIf(why string, holds bool) string {
	if holds {
		return why
	}
	return ""
}

// hasNewer tells whether a subject's last message stands beyond a position.
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

// isGone tells whether a message stood in a stream, and does no more.
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
