package operation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
	"github.com/mailwright/mailwright/services/internal/lease"
)

// pipeline is a command's way from its delivery to its outcome, in the order of the table in
// docs/operations.md. A command from COMMANDS and one from PARKED take the same way.
type pipeline struct {
	// arrival prepares an attempt. Each of its stages makes a few requests to JetStream at most.
	arrival []stage
	// turn has the command get a call. attempt calls the vendor, which may outlast ParkAfter: see
	// detach.go. An error of these stages is a failure of the operation, which record turns into an
	// event.
	turn, attempt []stage
	// record follows what the stages of attempt came to.
	record stage
}

func (e *Engine) pipeline() pipeline {
	return pipeline{
		arrival: []stage{
			e.read,
			e.deduplicate,
			e.validate,
			e.cancel,
			e.awaitNotBefore,
			e.order,
			e.awaitNextAttempt,
		},
		turn: []stage{
			e.revalidate,
			e.expire,
			e.limit,
		},
		attempt: []stage{
			e.expire, // which may have come during the wait
			e.plan,
			e.lookUp,
			e.announce,
			e.perform,
		},
		record: e.record,
	}
}

// stage is one stage of the pipeline. It reads and fills in the task, and says how the command goes
// on. It runs many times for one command, and on other replicas too, since a command comes back.
//
// A stage of arrival may return a [Rejection], which is recorded. Any other error brings the
// message back, each time anew. An error of turn and attempt is a failure of the operation: see
// classify.
//
// A stage of arrival or turn that rejects or fails a command asks priorOpen first. Otherwise an
// operation whose write may have been carried out would be told as rejected. After that, a call
// that is not repeatable is looked up. A repeatable one is sent again, and only the handler's own
// Check (worker.ForTenant) still rejects it.
//
// A stage that publishes or calls something has failpoints before and after it, at which the
// guarantee suite kills the process.
type stage func(context.Context, *task) (step, error)

// step says how a command goes on after a stage.
type step struct {
	kind stepKind
	at   time.Time // of retryInSlot and postpone
}

type stepKind int

const (
	goOn        stepKind = iota // with the next stage
	toRecord                    // task.reply is complete: only record is left
	finished                    // nothing is left to do here: the queue lets the command go
	ended                       // the same, and nothing will be done with the command any more
	retryInSlot                 // from the first stage at a time, which is near
	postpone                    // from the first stage at a time: the queue brings the command back
	underWay                    // a detached call is or was at work on it: its end wakes the key
)

// task is a command on its way through the pipeline.
type task struct {
	// What the queue knows:

	queue queue
	// command is the message of COMMANDS. read fills it in for a parked command.
	command bus.Delivery
	// reference is what PARKED holds of the command; nil for one that COMMANDS delivered.
	reference *parkedCommand
	// key is the one that the reference waits on.
	key topology.Address
	// retriedWait is the sequence of the waiting event whose wait a person has ended; 0: nobody
	// has.
	retriedWait uint64
	// wasSetAside says that the command comes from an overflow. Only commands that COMMANDS
	// delivered join it.
	wasSetAside bool
	// deliveries counts those of the message that brought the command.
	deliveries uint64
	// lease of the message that brought the command.
	lease *lease.Lease
	// ack acknowledges that message early. Else it is acknowledged when its handler returns.
	ack func()
	// releasePermit gives the permit back under which the command was started; nil: it has none.
	releasePermit func()

	// What the stages fill in:

	attempt *Attempt // nil before read
	handler Handler
	last    *entry // where the record ended when it was read
	// keyIsParked says that other commands of the key wait in PARKED.
	keyIsParked bool
	// overflows says that commands of its tenant and partition wait in their overflow.
	overflows bool
	// callDetached says that a detached call of the operation was at work here before the record
	// was read.
	callDetached bool
	valid        bool // validate has found no fault
	// releaseSlot gives the process's slot back: at the end of try, or when the call is detached.
	releaseSlot func()
	// endCall gives the call back to the budgets, and the permit under which the command was
	// started; nil before limit.
	endCall func()
	// sentAt is when the vendor was called: now, or by the prior call.
	sentAt  time.Time
	reply   Reply // a success, or a plan
	failure error // of a stage before record
}

// priorOpen reports whether an earlier call is in doubt and no look-up or repetition has begun to
// resolve it in this attempt.
func (t *task) priorOpen() bool { return t.attempt.Prior != nil && !t.attempt.performing.Load() }

// process takes a command through the pipeline, as far as that goes now. It reports whether the
// command is finished. An error brings the message back.
func (e *Engine) process(ctx context.Context, arrived task) (done bool, err error) {
	for {
		t := arrived
		next, err := e.try(ctx, &t)
		if err != nil {
			return false, err
		}
		switch next.kind {
		case ended:
			// In this order: a reference without its command would look like one whose command has
			// expired. What a crash leaves in between is left to the recheck.
			err := t.queue.Done(ctx, &t)
			if err == nil {
				e.removeSecret(ctx, &t)
			}
			return true, err
		case finished:
			return true, t.queue.Done(ctx, &t)
		case postpone:
			return false, t.queue.Postpone(ctx, &t, next.at)
		case retryInSlot:
			if !e.sleepUntil(next.at) {
				return false, &redeliverAfter{} // at once, to another replica
			}
		default: // underWay
			return false, nil
		}
	}
}

// try takes a command through the pipeline once. It holds one of the process's slots meanwhile.
func (e *Engine) try(ctx context.Context, t *task) (step, error) {
	e.slots <- struct{}{}
	t.releaseSlot = sync.OnceFunc(func() { <-e.slots })
	defer t.releaseSlot()
	next, err := run(ctx, t, e.stages.arrival)
	if _, rejected := errors.AsType[*Rejection](err); rejected {
		t.failure = err
		return e.stages.record(ctx, t)
	}
	if err != nil || next.kind != goOn {
		return next, err
	}
	if t.failure = e.awaitTurn(ctx, t); t.failure != nil {
		return e.stages.record(ctx, t)
	}
	return e.attemptOrDetach(ctx, t)
}

// awaitTurn runs the stages before the attempt. A wait for a call is no part of it: no lease is
// renewed for it, and no call can have been made.
func (e *Engine) awaitTurn(ctx context.Context, t *task) (err error) {
	defer func() {
		if err != nil { // there will be no attempt
			_, end := span(ctx, t.attempt)
			end(t.reply, err)
		}
	}()
	defer e.recoverPanic(t, &err)
	_, err = run(ctx, t, e.stages.turn)
	return err
}

// run takes a task through stages until one does not go on with the next.
func run(ctx context.Context, t *task, stages []stage) (next step, err error) {
	for _, s := range stages {
		if next, err = s(ctx, t); err != nil || next.kind != goOn {
			return next, err
		}
	}
	return next, nil
}

// sleepUntil waits for a time, and reports false if the service is to stop before it comes.
func (e *Engine) sleepUntil(at time.Time) bool { return e.sleep(at.Sub(e.Now())) }

func (e *Engine) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.stopping.Done():
		return false
	}
}
