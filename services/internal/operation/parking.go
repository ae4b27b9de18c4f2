package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// parking is the stream PARKED. For each key it has a subject with references to the commands that
// wait, in order; the commands stay in COMMANDS. A scheduled message, the wake-up, has the key
// drained.
//
// Only the replica that has the partition parks commands, and only the key's wake-up removes them;
// each of these handles one message of a key at a time. So a key never has two commands under way.
//
// Wake-ups are spread over lanes, by the key alone. A change of the number of partitions leaves them
// where they are.
type parking struct {
	js         jetstream.JetStream
	parked     jetstream.Stream
	lastParked *bus.LastMessageReader
	commands   jetstream.Stream // the clock keeps its cached info fresh
	failpoints failpoint.Set
	now        func() time.Time
	overflows  overflows
}

// incarnation names COMMANDS as it is now: by when it was created. Sequences of another incarnation
// may refer to other commands.
func (p *parking) incarnation() string {
	return p.commands.CachedInfo().Created.UTC().Format(time.RFC3339Nano)
}

// parkedCommand refers to a command that waits.
type parkedCommand struct {
	// Sequence is the command's in COMMANDS.
	Sequence uint64 `json:"sequence"`
	// Incarnation is that of COMMANDS to which the sequence belongs, and OperationID the command's.
	// They are compared before the command is carried out: a stream that was restored or made again
	// holds another command under the sequence.
	Incarnation string `json:"incarnation"`
	OperationID string `json:"operationId"`

	parkedSequence uint64    // of the reference, in PARKED
	parkedAt       time.Time // when it was stored there
	invalid        []byte    // the message, if it is no reference; else nil
}

// readReference reads what [parking.reference] has made; ok is false for anything else.
func readReference(data []byte) (c parkedCommand, ok bool) {
	ok = json.Unmarshal(data, &c) == nil && c.Sequence > 0
	return c, ok
}

// isOf reports whether a reference is one to this very command. The sequence alone is not enough:
// the reference may be older than the stream.
func (c parkedCommand) isOf(a *Attempt) bool {
	return c.Sequence == a.sequence && c.OperationID == a.ID
}

// head reads the first that waits on a key.
func (p *parking) head(ctx context.Context, a topology.Address) (c parkedCommand, parked bool, err error) {
	msg, err := p.first(ctx, a, 1)
	if err != nil || msg == nil {
		return c, false, err
	}
	c, ours := readReference(msg.Data)
	if !ours {
		c = parkedCommand{invalid: append([]byte{}, msg.Data...)}
	}
	c.parkedSequence, c.parkedAt = msg.Sequence, msg.Time
	return c, true, nil
}

// first reads the first message that waits on a key, from a sequence on; nil if there is none.
func (p *parking) first(ctx context.Context, a topology.Address, from uint64) (*jetstream.RawStreamMsg, error) {
	p.failpoints.Reach(failpoint.ReadHead)
	msg, err := p.parked.GetMsg(ctx, from, jetstream.WithGetMsgSubject(topology.ParkedSubject(a)))
	p.failpoints.Reach(failpoint.HeadRead)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what waits on key %s: %w", a.Key, err)
	}
	return msg, nil
}

// park has a command wait behind those that wait on its key. To park it twice does no harm: the
// second time it is taken up, the record has its outcome.
func (p *parking) park(ctx context.Context, a *Attempt) error {
	c := p.reference(a)
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	p.failpoints.Reach(failpoint.Park)
	// The sequence alone would not do: the stream may have been made again, which begins with 1.
	id := jetstream.WithMsgID("parked." + c.OperationID + "." + strconv.FormatUint(c.Sequence, 10))
	if _, err := p.js.Publish(ctx, topology.ParkedSubject(a.address), raw, id); err != nil {
		return fmt.Errorf("park operation %s: %w", a.ID, err)
	}
	p.failpoints.Reach(failpoint.Parked)
	return nil
}

func (p *parking) reference(a *Attempt) parkedCommand {
	return parkedCommand{Sequence: a.sequence, Incarnation: p.incarnation(), OperationID: a.ID}
}

// schedule has a command that is not due yet join the queue of its key when it is. The server keeps
// the schedule and publishes the reference as a wake-up of the key. A later call replaces an
// earlier one.
func (p *parking) schedule(ctx context.Context, a *Attempt) error {
	raw, err := json.Marshal(p.reference(a))
	if err != nil {
		return err
	}
	p.failpoints.Reach(failpoint.Schedule)
	msg := scheduledWakeUp(topology.NotBeforeSubject(a.address, a.ID), a.address, a.command.NotBefore)
	msg.Data = raw
	if _, err := p.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("schedule operation %s: %w", a.ID, err)
	}
	p.failpoints.Reach(failpoint.Scheduled)
	return nil
}

// isScheduled reports whether the server holds the schedule of a command that is not due yet.
func (p *parking) isScheduled(ctx context.Context, a *Attempt) (bool, error) {
	_, found, err := p.scheduled(ctx, a.address, a.ID)
	return found, err
}

// scheduled reads what the schedule of an operation refers to, if there is one.
func (p *parking) scheduled(ctx context.Context, a topology.Address, operationID string) (c parkedCommand, found bool, err error) {
	msg, err := p.parked.GetLastMsgForSubject(ctx, topology.NotBeforeSubject(a, operationID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read the schedule of operation %s: %w", operationID, err)
	}
	c, _ = readReference(msg.Data)
	c.parkedSequence = msg.Sequence
	return c, true, nil
}

// enqueueDue adds a command that is due to the queue of its key. A message that is no reference of
// ours is left out. The reference has no Nats-Msg-Id: a command whose wake-up came too early is
// scheduled again, and must join a second time within the stream's window of duplicates.
func (p *parking) enqueueDue(ctx context.Context, a topology.Address, reference []byte) error {
	c, ours := readReference(reference)
	if !ours {
		return nil
	}
	p.failpoints.Reach(failpoint.Park)
	if _, err := p.js.Publish(ctx, topology.ParkedSubject(a), reference); err != nil {
		return fmt.Errorf("queue operation %s, which is due: %w", c.OperationID, err)
	}
	p.failpoints.Reach(failpoint.Parked)
	return nil
}

// remove removes a command that is finished.
func (p *parking) remove(ctx context.Context, c parkedCommand) error {
	if err := p.removeSequence(ctx, c.parkedSequence); err != nil {
		return fmt.Errorf("operation %s: %w", c.OperationID, err)
	}
	return nil
}

// removeSequence removes a message of PARKED.
func (p *parking) removeSequence(ctx context.Context, sequence uint64) error {
	p.failpoints.Reach(failpoint.Unpark)
	if err := bus.DeleteMessage(ctx, p.parked, sequence); err != nil {
		return fmt.Errorf("remove message %d from PARKED: %w", sequence, err)
	}
	p.failpoints.Reach(failpoint.Unparked)
	return nil
}

// scheduleWakeUp schedules a key's wake-up message for a time, at once if that has passed. A key
// has one schedule: the last call wins.
func (p *parking) scheduleWakeUp(ctx context.Context, a topology.Address, at time.Time) error {
	p.failpoints.Reach(failpoint.ScheduleWakeUp)
	if now := p.now(); at.Before(now) {
		at = now
	}
	if _, err := p.js.PublishMsg(ctx, scheduledWakeUp(topology.ScheduleSubject(a), a, at)); err != nil {
		return fmt.Errorf("schedule the wake-up of key %s: %w", a.Key, err)
	}
	p.failpoints.Reach(failpoint.ScheduledWakeUp)
	return nil
}

// scheduledWakeUp is a message that JetStream publishes as a wake-up of a key at a time (NATS
// ADR-51).
func scheduledWakeUp(subject string, a topology.Address, at time.Time) *nats.Msg {
	return &nats.Msg{Subject: subject, Header: bus.Schedule(topology.WakeSubject(a), at)}
}

// pendingWakeUp is what is going to wake a key: a schedule; or a wake-up that has appeared and that
// nobody has acknowledged yet.
type pendingWakeUp struct {
	at       time.Time // zero: there is none
	sequence uint64    // of a wake-up that has appeared; 0: it has not
}

// pendingWakeUp reads a key's.
func (p *parking) pendingWakeUp(ctx context.Context, a topology.Address) (pendingWakeUp, error) {
	// In this order: the wake-up replaces the schedule.
	for _, subject := range []string{topology.ScheduleSubject(a), topology.WakeSubject(a)} {
		msg, err := p.parked.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return pendingWakeUp{}, fmt.Errorf("read when key %s wakes: %w", a.Key, err)
		}
		at, scheduled := bus.ScheduledFor(msg.Header)
		if !scheduled {
			return pendingWakeUp{msg.Time, msg.Sequence}, nil
		}
		return pendingWakeUp{at: at}, nil
	}
	return pendingWakeUp{}, nil
}

// ensureWakeUp wakes a key on which something waits, if nothing is going to wake it, or should have
// before staleBefore. It says when the key wakes, and whether this call has seen to it.
//
// A wake-up that its consumer has acknowledged is stale: a server that was killed may bring it
// back. It wakes nothing, and is removed.
func (p *parking) ensureWakeUp(ctx context.Context, a topology.Address, staleBefore time.Time) (at time.Time, scheduled bool, err error) {
	p.failpoints.Reach(failpoint.ReadWakeUp)
	pending, err := p.pendingWakeUp(ctx, a)
	if err != nil || pending.at.After(staleBefore) {
		return pending.at, false, err
	}
	if pending.sequence > 0 {
		stale, err := bus.AckedThrough(ctx, p.js, topology.StreamParked, bus.WakeConsumer(a.Domain, a.Lane()), pending.sequence)
		if err != nil || !stale {
			return pending.at, false, err
		}
		if err := bus.DeleteMessage(ctx, p.parked, pending.sequence); err != nil {
			return pending.at, false, fmt.Errorf("remove the wake-up of key %s: %w", a.Key, err)
		}
	}
	now := p.now()
	return now, true, p.scheduleWakeUp(ctx, a, now)
}

// readCommand reads a parked command from COMMANDS; the zero Delivery if it is no longer there.
func (p *parking) readCommand(ctx context.Context, c parkedCommand) (bus.Delivery, error) {
	p.failpoints.Reach(failpoint.ReadOriginal)
	d, _, err := bus.Read(ctx, p.js, p.commands, c.Sequence)
	return d, err
}
