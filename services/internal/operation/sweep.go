package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/failpoint"
)

// sweep is the second look at every command: a consumer of its own hands each out again, and once
// it is older than SweepAfter it must have its outcome or still be on its way to it. What is
// neither was lost by a hand that is not ours, such as a person who acknowledged it, and goes to a
// person: a dead letter. The sweep reads; it never calls a vendor.
type sweep struct {
	*Engine
	stop context.Context // ends when the service is to stop
}

func (s *sweep) name() string { return bus.RecheckConsumer(s.Domain).Durable }

// subscriber has one topic.
func (s *sweep) subscriber() *bus.Subscriber {
	return bus.NewSubscriber(bus.SubscriberConfig{
		JS: s.JS,
		Consumer: func(string) (string, jetstream.ConsumerConfig) {
			return topology.StreamCommands, bus.RecheckConsumer(s.Domain)
		},
		Parallel:     sweepAtOnce,
		NakDelay:     nakDelay,
		Malformed:    s.unreadable,
		CloseTimeout: stopPatience,
		Logger:       s.Log,
	})
}

const (
	// sweepAtOnce is how many commands are looked at at once: they share the requests for their
	// records, so a sweep that has fallen behind catches up with any number of commands that a
	// service carries out.
	sweepAtOnce = 8
	// sweepShare is the part of its time, one in so many, that each of them is at work, with pauses
	// of longestPause at most. The sweep is in no hurry.
	sweepShare   = 4
	longestPause = 100 * time.Millisecond
	// secondLook is after how long the sweep looks once more before it calls a command lost: a
	// replica of a stream may lag behind.
	secondLook = 250 * time.Millisecond
)

// command looks at one command, and brings it back while it is on its way. A command that is too
// young is held until it is not: those behind it are younger still.
func (s *sweep) command(ctx context.Context, d bus.Delivery, _ func()) error {
	if !s.wait(d.StoredAt.Add(s.RecheckAfter).Sub(s.Now())) {
		return &later{} // for another replica, at once
	}
	began := time.Now()
	s.Failpoints.Reach(failpoint.Recheck)
	err := s.look(ctx, d)
	s.wait(min((sweepShare-1)*time.Since(began), longestPause))
	return err
}

// wait reports whether the service was still to run afterwards.
func (s *sweep) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.stop.Err() == nil
	case <-s.stop.Done():
		return false
	}
}

func (s *sweep) look(ctx context.Context, d bus.Delivery) error {
	run, err := read(d)
	if err != nil {
		return s.unreadable(ctx, d, err)
	}
	var last *entry
	for range 2 {
		if last, err = s.record.last(run); isRecordUnreadable(err) {
			return nil // its partition gives it up
		}
		if err != nil {
			return err
		}
		if last.state.Terminal() || last.conflicts(run) {
			return nil
		}
		if !s.isDue(run, last) {
			return s.reschedule(ctx, run, last)
		}
		underWay, err := s.underWay(ctx, run)
		if err != nil {
			return err
		}
		if underWay || !s.wait(secondLook) {
			return &later{after: s.RecheckAfter}
		}
	}
	detail := "acknowledged without an outcome"
	if last.sequence > 0 {
		detail += fmt.Sprintf("; its record ends with %q", last.state)
	}
	return s.bury(ctx, letter{Reason: AckedWithoutOutcome, Detail: detail, run: run}, d)
}

// reschedule makes sure that a command which is not due yet has its schedule. It need not be looked
// at again: the schedule is as durable as the command.
func (s *sweep) reschedule(ctx context.Context, run *Attempt, last *entry) error {
	found, err := s.parking.isScheduled(ctx, run)
	if err != nil || found {
		return err
	}
	return s.schedule(ctx, run, last)
}

// unreadable buries what no partition does.
func (s *sweep) unreadable(ctx context.Context, d bus.Delivery, reason error) error {
	if _, handedOut := topology.ParseCommandSubject(d.Subject); handedOut {
		return nil
	}
	return s.Malformed(ctx, d, reason)
}

// underWay reports whether a command that has no outcome will be delivered again: by its partition,
// or because it waits on its key. In this order, and with the record read afterwards: a command is
// parked before its partition lets go of it, and has its outcome before it is taken out.
func (s *sweep) underWay(ctx context.Context, run *Attempt) (bool, error) {
	if past, err := bus.AckedThrough(ctx, s.JS, topology.StreamCommands, bus.CommandConsumer(s.Domain, run.address.Partition), run.sequence); err != nil || !past {
		return true, err
	}
	head, parked, err := s.parking.head(ctx, run.address)
	if err != nil {
		return false, err
	}
	if !parked {
		return s.isAboutToJoin(ctx, run)
	}
	return true, s.rouse(ctx, run.address, head)
}

// isAboutToJoin reports whether a command that is due has yet to join the queue of its key: the
// server is about to publish its wake-up, or a wake-up has come that nobody has taken.
func (s *sweep) isAboutToJoin(ctx context.Context, run *Attempt) (bool, error) {
	if run.command.NotBefore.IsZero() {
		return false, nil
	}
	if scheduled, err := s.parking.isScheduled(ctx, run); err != nil || scheduled {
		return scheduled, err
	}
	pending, err := s.parking.alarm(ctx, run.address)
	return pending.wakeUp > 0, err
}

// rouse wakes a key that should have been woken SweepAfter ago, or that nothing will wake any more:
// its schedule was lost.
func (s *sweep) rouse(ctx context.Context, a topology.Address, head parkedCommand) error {
	overdue := s.Now().Add(-s.RecheckAfter)
	if head.since.After(overdue) {
		return nil
	}
	_, roused, err := s.parking.rouse(ctx, a, overdue)
	if roused && err == nil {
		s.Log.Warn("a wake-up was overdue and has been scheduled again", "key", a.Key, "operation", head.OperationID)
	}
	return err
}
