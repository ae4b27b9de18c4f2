package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// parking keeps what waits, in order, on a subject for each key of the stream PARKED: references to
// commands, which stay in COMMANDS. A scheduled message wakes the key.
//
// Only the partition's owner adds to a key, and only the key's wake-up takes away from it; each of
// them handles one message of a key at a time. So a key never has two commands under way.
type parking struct {
	js         jetstream.JetStream
	parked     jetstream.Stream
	latest     *bus.LastMessageReader // of PARKED
	commands   jetstream.Stream       // its cached info is as old as the clock's last look at most
	failpoints failpoint.Set
	now        func() time.Time
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
	// Partition of the command, for the wake-up of its key.
	Partition int `json:"partition"`

	place   uint64    // in PARKED
	since   time.Time // it has stood there
	foreign []byte    // what stands there instead of a reference; else nil
}

// readReference reads what [parking.reference] has made; ok is false for anything else.
func readReference(data []byte) (c parkedCommand, ok bool) {
	ok = json.Unmarshal(data, &c) == nil && c.Sequence > 0
	return c, ok
}

// isOf reports whether a reference is one to this very command. The sequence alone does not tell:
// the reference may be older than the stream.
func (c parkedCommand) isOf(run *Attempt) bool {
	return c.Sequence == run.sequence && c.OperationID == run.ID
}

// head reads the first that waits on a key.
func (p *parking) head(ctx context.Context, a topology.Address) (c parkedCommand, parked bool, err error) {
	p.failpoints.Reach(failpoint.ReadHead)
	msg, err := p.parked.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(topology.ParkedSubject(a)))
	p.failpoints.Reach(failpoint.HeadRead)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read what waits on key %s: %w", a.Key, err)
	}
	c, ours := readReference(msg.Data)
	if !ours {
		c = parkedCommand{Partition: a.Partition, foreign: append([]byte{}, msg.Data...)}
	}
	c.place, c.since = msg.Sequence, msg.Time
	return c, true, nil
}

// add lets a command wait behind what waits on its key. Adding it twice does no harm: the second
// time it is taken up, the record has its outcome.
func (p *parking) add(ctx context.Context, run *Attempt) error {
	c := p.reference(run)
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	p.failpoints.Reach(failpoint.Park)
	// The sequence alone would not do: the stream may have been made again, which begins with 1.
	id := jetstream.WithMsgID("parked." + c.OperationID + "." + strconv.FormatUint(c.Sequence, 10))
	if _, err := p.js.Publish(ctx, topology.ParkedSubject(run.address), raw, id); err != nil {
		return fmt.Errorf("park operation %s: %w", run.ID, err)
	}
	p.failpoints.Reach(failpoint.Parked)
	return nil
}

func (p *parking) reference(run *Attempt) parkedCommand {
	return parkedCommand{Sequence: run.sequence, Incarnation: p.incarnation(), OperationID: run.ID, Partition: run.address.Partition}
}

// schedule has a command that is not due yet join the queue of its key when it is. The server keeps
// the schedule and publishes the reference as a wake-up of the key. A later call replaces an
// earlier one.
func (p *parking) schedule(ctx context.Context, run *Attempt) error {
	raw, err := json.Marshal(p.reference(run))
	if err != nil {
		return err
	}
	p.failpoints.Reach(failpoint.Schedule)
	msg := scheduled(topology.NotBeforeSubject(run.address, run.ID), run.address, run.command.NotBefore)
	msg.Data = raw
	if _, err := p.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("schedule operation %s: %w", run.ID, err)
	}
	p.failpoints.Reach(failpoint.Scheduled)
	return nil
}

// isScheduled reports whether the server holds the schedule of a command that is not due yet.
func (p *parking) isScheduled(ctx context.Context, run *Attempt) (bool, error) {
	_, err := p.parked.GetLastMsgForSubject(ctx, topology.NotBeforeSubject(run.address, run.ID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

// unschedule takes the schedule of a command out, if there is one.
func (p *parking) unschedule(ctx context.Context, a topology.Address, operationID string) error {
	msg, err := p.parked.GetLastMsgForSubject(ctx, topology.NotBeforeSubject(a, operationID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err == nil {
		err = bus.DeleteMessage(ctx, p.parked, msg.Sequence)
	}
	if err != nil {
		return fmt.Errorf("take the schedule of operation %s out: %w", operationID, err)
	}
	return nil
}

// join adds a command that is due to the queue of its key. What is no reference of ours joins
// nothing. It has no Nats-Msg-Id: a command that was woken too early is scheduled again, and must
// join a second time within the stream's window.
func (p *parking) join(ctx context.Context, a topology.Address, reference []byte) error {
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

// remove takes out what is settled.
func (p *parking) remove(ctx context.Context, c parkedCommand) error {
	p.failpoints.Reach(failpoint.Unpark)
	if err := bus.DeleteMessage(ctx, p.parked, c.place); err != nil {
		return fmt.Errorf("take operation %s out of PARKED: %w", c.OperationID, err)
	}
	p.failpoints.Reach(failpoint.Unparked)
	return nil
}

// wake has a key's wake-up appear at a time, at once if that has come. A later call replaces an
// earlier one, so whoever knows best when the key must go on calls last.
func (p *parking) wake(ctx context.Context, a topology.Address, at time.Time) error {
	p.failpoints.Reach(failpoint.ScheduleWakeUp)
	if now := p.now(); at.Before(now) {
		at = now
	}
	if _, err := p.js.PublishMsg(ctx, scheduled(topology.ScheduleSubject(a), a, at)); err != nil {
		return fmt.Errorf("schedule the wake-up of key %s: %w", a.Key, err)
	}
	p.failpoints.Reach(failpoint.ScheduledWakeUp)
	return nil
}

// scheduled is a message on a subject that JetStream publishes as a wake-up of a key at a time
// (NATS ADR-51).
func scheduled(subject string, a topology.Address, at time.Time) *nats.Msg {
	return &nats.Msg{Subject: subject, Header: nats.Header{
		scheduleHeader:         {scheduleAt + at.UTC().Format(time.RFC3339Nano)},
		"Nats-Schedule-Target": {topology.WakeSubject(a)},
	}}
}

const (
	scheduleHeader = "Nats-Schedule"
	scheduleAt     = "@at "
)

// alarm is what is going to wake a key: a schedule; or a wake-up that came and that nobody has
// settled yet.
type alarm struct {
	at     time.Time // zero: nothing is
	wakeUp uint64    // its sequence, if it came
}

// alarm reads a key's.
func (p *parking) alarm(ctx context.Context, a topology.Address) (alarm, error) {
	// In this order: the wake-up takes the place of the schedule.
	for _, subject := range []string{topology.ScheduleSubject(a), topology.WakeSubject(a)} {
		msg, err := p.parked.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return alarm{}, fmt.Errorf("read when key %s wakes: %w", a.Key, err)
		}
		text, scheduled := strings.CutPrefix(msg.Header.Get(scheduleHeader), scheduleAt)
		if !scheduled {
			return alarm{msg.Time, msg.Sequence}, nil
		}
		at, _ := time.Parse(time.RFC3339Nano, text) // zero where it is not ours
		return alarm{at: at}, nil
	}
	return alarm{}, nil
}

// rouse wakes a key on which something waits, where nothing is going to wake it, or should have
// before overdue. It says when the key wakes, and whether it was roused.
//
// A wake-up that its consumer is past is a ghost: a server that is killed may bring back what was
// acknowledged.
func (p *parking) rouse(ctx context.Context, a topology.Address, overdue time.Time) (at time.Time, roused bool, err error) {
	p.failpoints.Reach(failpoint.ReadWakeUp)
	set, err := p.alarm(ctx, a)
	if err != nil || set.at.After(overdue) {
		return set.at, false, err
	}
	if set.wakeUp > 0 {
		ghost, err := bus.AckedThrough(ctx, p.js, topology.StreamParked, bus.WakeConsumer(a.Domain, a.Partition), set.wakeUp)
		if err != nil || !ghost {
			return set.at, false, err
		}
		if err := bus.DeleteMessage(ctx, p.parked, set.wakeUp); err != nil {
			return set.at, false, fmt.Errorf("take the wake-up of key %s out: %w", a.Key, err)
		}
	}
	now := p.now()
	return now, true, p.wake(ctx, a, now)
}

// original reads a parked command from COMMANDS; the zero Delivery where it is there no longer.
func (p *parking) original(ctx context.Context, c parkedCommand) (bus.Delivery, error) {
	p.failpoints.Reach(failpoint.ReadOriginal)
	d, _, err := bus.Read(ctx, p.js, p.commands, c.Sequence)
	return d, err
}
