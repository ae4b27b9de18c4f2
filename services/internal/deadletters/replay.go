package deadletters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/render"
)

const (
	// replayHeader counts the replays of a message. The dead letter of a replayed message refers to
	// that message, and so to the count.
	replayHeader = "Mailwright-Replay"
	maxReplays   = 3
)

// Done is what was done to a letter, as --json prints it.
type Done struct {
	Letter uint64 `json:"letter"`
	Action string `json:"action"`
	// Detail describes the dead letter, or says why it was refused.
	Detail string `json:"detail,omitempty"`
	// Subject is that of the replayed command, Command its new sequence in COMMANDS, and Replay the
	// number of its replay.
	Subject string `json:"subject,omitempty"`
	Command uint64 `json:"command,omitempty"`
	Replay  int    `json:"replay,omitempty"`
}

// Refused is the [Done.Action] of a dead letter to which nothing was done.
const Refused = "refused"

// InPublishedOrder sorts dead letters by the sequences of their commands, since commands of one key
// build on each other. DEAD may have another order: several services write to it, each after its
// own retries.
func InPublishedOrder(letters []Letter) {
	slices.SortStableFunc(letters, func(a, b Letter) int { return cmp.Compare(a.Content.Sequence, b.Content.Sequence) })
}

// Replay is the replay of one dead letter, or the reason why it is refused.
type Replay struct {
	Done
	letter  Letter
	message *nats.Msg
}

// Plan says what a replay of the dead letter would publish, or why it is refused.
func (d *Stream) Plan(ctx context.Context, l Letter, force bool) (Replay, error) {
	refuse := func(format string, args ...any) (Replay, error) {
		return Replay{Done: Done{Letter: l.Sequence, Action: Refused, Detail: fmt.Sprintf(format, args...)}}, nil
	}
	conflict := l.Content.Reason == operation.Conflict
	switch {
	case l.Content.Stream != topology.StreamCommands:
		return refuse("it is about no command, but about message %d of %s", l.Content.Sequence, render.Cell(l.Content.Stream))
	case conflict && !force:
		return refuse("its source and id belong to another command, and so they would again: publish it under a new id")
	case l.Content.Reason == operation.OutcomeUnknown:
		return refuse(`its operation has the outcome "failed", which would be the answer: ` +
			"look at the vendor whether it was carried out, and publish a new command if not")
	}
	original, err := d.Original(ctx, l)
	if err != nil {
		return Replay{}, err
	}
	if original == nil {
		return d.planGone(ctx, l, refuse)
	}
	address, ok := topology.ParseCommandSubject(original.Subject)
	if !ok {
		return refuse("it is stored on %s, which is no command's subject: publish it anew with another key", render.Cell(original.Subject))
	}
	found := identify(original, address)
	if other := mismatch(l, original, address, found); other != "" {
		return refuse("message %d of COMMANDS is another one than the dead letter is about, since its %s differs, "+
			"as after a restore of COMMANDS: publish the command anew, then discard the dead letter", original.Sequence, other)
	}
	if found.unreadable != nil {
		return refuse("it is unreadable, and would be again: %v. Its publisher has to correct that and publish it anew; "+
			"then discard the dead letter", found.unreadable)
	}
	if !conflict {
		state, err := d.Outcome(ctx, address.Tenant, address.Domain, found.operation)
		switch {
		case errors.Is(err, errUnreadableRecord):
			return refuse("%v, and a replay would end in DEAD again: look at the vendor whether it was carried out, "+
				"and publish a command with a new id if not", err)
		case err != nil:
			return Replay{}, err
		case state != "":
			return refuse("its operation has an outcome by now, %q, which would be the answer: discard the dead letter", state)
		}
	}
	before, _ := strconv.Atoi(original.Header.Get(replayHeader)) // absent, or not ours: 0
	if before >= maxReplays && !force {
		return refuse("it was replayed %d times before; --force replays it again", before)
	}
	return Replay{
		Done: Done{
			Letter:  l.Sequence,
			Action:  "replayed",
			Detail:  l.Describe(),
			Subject: topology.PublishedSubject(address),
			Replay:  before + 1,
		},
		letter:  l,
		message: republished(original, topology.PublishedSubject(address), before+1),
	}, nil
}

// planGone refuses the replay of a command that COMMANDS no longer holds.
func (d *Stream) planGone(ctx context.Context, l Letter, refuse func(string, ...any) (Replay, error)) (Replay, error) {
	state, err := d.Outcome(ctx, l.Content.Tenant, l.Domain, l.Content.OperationID)
	switch {
	case err != nil && !errors.Is(err, errUnreadableRecord):
		return Replay{}, err
	case state != "":
		return refuse("its operation has an outcome by now, %q, which would be the answer: discard the dead letter", state)
	default:
		return refuse("COMMANDS no longer holds it: it is too old, or may have held a secret. Its publisher has to send it again; " +
			"then discard the dead letter")
	}
}

// clockSkew bounds the difference between the clocks of NATS servers: the leader of each stream
// sets the timestamps of its messages.
const clockSkew = time.Minute

// mismatch names the first attribute in which a message differs from the original of a dead letter;
// "" for none. If COMMANDS was restored or made again, another message may have the sequence.
func mismatch(l Letter, m *jetstream.RawStreamMsg, address topology.Address, found identity) string {
	content := l.Content
	for _, attribute := range []struct{ name, kept, found string }{
		{"subject", content.Subject, topology.PublishedSubject(address)},
		{"source", content.Source, found.source},
		{"id", content.ID, found.id},
		{"operation", content.OperationID, found.operation},
	} {
		if attribute.kept != "" && attribute.kept != attribute.found {
			return attribute.name
		}
	}
	switch {
	case content.Size > 0 && content.Size != len(m.Data):
		return "size"
	case m.Time.After(l.StoredAt.Add(clockSkew)):
		return "time"
	default:
		return ""
	}
}

// republished is the original message with the count of replays. It has no Nats-Msg-Id: if it is
// published twice, it is carried out once all the same, since source and id name its operation.
func republished(original *jetstream.RawStreamMsg, subject string, replay int) *nats.Msg {
	header := nats.Header{replayHeader: {strconv.Itoa(replay)}}
	for name, values := range original.Header {
		// Headers of NATS are the server's, or were meant for one publish.
		if !strings.HasPrefix(strings.ToLower(name), "nats-") && name != replayHeader {
			header[name] = values
		}
	}
	return &nats.Msg{Subject: subject, Header: header, Data: original.Data}
}

// replayTimeout bounds one replay.
const replayTimeout = 30 * time.Second

// Replay publishes the message and deletes the dead letter.
func (d *Stream) Replay(ctx context.Context, r *Replay) error {
	ctx, cancel := context.WithTimeoutCause(ctx, replayTimeout, fmt.Errorf("given up after %v", replayTimeout))
	defer cancel()
	ack, err := client.Store(ctx, d.js, r.message)
	if err != nil {
		return fmt.Errorf("publish the command of dead letter %d: %w", r.Letter, err)
	}
	r.Command = ack.Sequence
	return d.Discard(ctx, r.letter)
}
