package inventory

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/operation"
)

// store is the stream MAILBOXES as a walk writes it: each message on the condition that its subject still ends where the walk read it,
// so that two syncs of a tenant do not undo each other.
type store struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	run    *operation.Run
}

const (
	// readers is how many messages are read at a time.
	readers = 16
	// patience is how long the stream may be away within a walk.
	patience = 2 * time.Minute
)

// notStored: the stream is away; the walk is repeated when it is back.
func notStored(cause error) error {
	return &failure.Error{Kind: failure.Unavailable, Text: "the stream " + bus.Mailboxes + " could not be read or written", Cause: cause}
}

// read reads messages by their sequences. One that another sync has replaced meanwhile is left zero.
func (s store) read(ctx context.Context, sequences []uint64) ([]stored, error) {
	list, errs := make([]stored, len(sequences)), make([]error, readers)
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			for i := r; i < len(sequences) && errs[r] == nil; i += readers {
				list[i], errs[r] = s.readOne(ctx, sequences[i])
			}
		})
	}
	wg.Wait()
	return list, errors.Join(errs...)
}

func (s store) readOne(ctx context.Context, sequence uint64) (stored, error) {
	msg, err := offer(ctx, func() (*jetstream.RawStreamMsg, error) { return s.stream.GetMsg(ctx, sequence) })
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, notStored(err)
	}
	return readStored(msg)
}

// offer asks the stream again while it is away.
func offer[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	return backoff.Retry(ctx, func() (T, error) {
		v, err := ask()
		if refused, ok := errors.AsType[*jetstream.APIError](err); errors.Is(err, jetstream.ErrMsgNotFound) || ok && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return v, backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithMaxElapsedTime(patience))
}

// precede reads the messages that observations follow on, for what has changed since.
func (s store) precede(ctx context.Context, list []observation) error {
	var sequences []uint64
	var which []int
	for i, o := range list {
		if o.replaces > 0 {
			sequences, which = append(sequences, o.replaces), append(which, i)
		}
	}
	before, err := s.read(ctx, sequences)
	if err != nil {
		return err
	}
	for n, i := range which {
		if before[n].sequence > 0 { // else put will find the message that is there now
			list[i].after(before[n])
		}
	}
	return nil
}

// last gives what is to be said of mailboxes that were not met, by the sequences of their messages.
func (s store) last(ctx context.Context, sequences []uint64) ([]observation, error) {
	before, err := s.read(ctx, sequences)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	var list []observation
	for _, b := range before {
		if b.sequence == 0 {
			continue // another sync has met it
		}
		o, err := b.missing(now)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// put stores observations, all under way at once, and reports which it has stored; the others another sync had forestalled.
func (s store) put(ctx context.Context, list []observation) ([]bool, error) {
	s.run.Step("put")
	confirmations := make([]jetstream.PubAckFuture, len(list))
	for i, o := range list {
		msg, err := o.message(s.run)
		if err != nil {
			return nil, err
		}
		// An error is that too much is under way, or that the connection is closed: settle will see.
		confirmations[i], _ = s.js.PublishMsgAsync(msg, jetstream.WithExpectLastSequencePerSubject(o.replaces))
	}
	s.run.Step("putting")
	outcomes := make([]bool, len(list))
	for i, f := range confirmations {
		confirmed, err := confirm(ctx, f)
		if err != nil {
			return nil, err
		}
		if !confirmed {
			if confirmed, err = s.settle(ctx, list[i]); err != nil {
				return nil, err
			}
		}
		outcomes[i] = confirmed
	}
	s.run.Step("put-done")
	return outcomes, nil
}

// confirm waits for the stream's word on one message.
func confirm(ctx context.Context, f jetstream.PubAckFuture) (bool, error) {
	if f == nil {
		return false, nil
	}
	select {
	case <-f.Ok():
		return true, nil
	case <-f.Err(): //nolint:errcheck // settle finds out why
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// settle finds out why an observation was not confirmed, and stores it unless another sync has said as much, or knows better.
func (s store) settle(ctx context.Context, o observation) (bool, error) {
	for {
		msg, err := offer(ctx, func() (*jetstream.RawStreamMsg, error) {
			return s.stream.GetLastMsgForSubject(ctx, bus.MailboxSubject(s.run.Tenant, o.key))
		})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			o.replaces, o.first, o.previous = 0, time.Time{}, nil
		case err != nil:
			return false, notStored(err)
		default:
			last, err := readStored(msg)
			if err != nil {
				return false, err
			}
			if over, ours := o.settled(last, s.run.ID); over {
				return ours, nil
			}
		}
		m, err := o.message(s.run)
		if err != nil {
			return false, err
		}
		_, err = offer(ctx, func() (*jetstream.PubAck, error) {
			return s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(o.replaces))
		})
		if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			continue
		}
		if err != nil {
			return false, notStored(err)
		}
		return true, nil
	}
}

// settled holds an observation against the mailbox's last message: over where nothing more is to be said, ours where that is because it
// has been said by us. Otherwise the observation follows on that message now.
func (o *observation) settled(last stored, operationID string) (over, ours bool) {
	if last.operationID == operationID && last.content == o.content && last.change == o.change {
		return true, true // only the confirmation was lost
	}
	if last.sequence == o.replaces {
		return false, false // the message itself was lost
	}
	same := last.content == o.content && last.change != event.MailboxGone
	if o.change == event.MailboxGone || same || last.at.After(o.at) {
		return true, false
	}
	o.after(last)
	o.change = event.MailboxChanged
	if last.change == event.MailboxGone {
		o.change = event.MailboxReturned
	}
	return false, false
}
