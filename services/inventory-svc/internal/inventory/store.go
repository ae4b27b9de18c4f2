package inventory

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failpoint"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// store is the stream MAILBOXES as a walk writes it. Each message is published on the condition
// that its subject still ends where the walk read it: else two syncs of a tenant would undo each
// other.
type store struct {
	js       jetstream.JetStream
	stream   jetstream.Stream
	attempt  *operation.Attempt
	maxFacts int // bytes that facts and previous facts may take in one message
}

func newStore(js jetstream.JetStream, stream jetstream.Stream, run *operation.Attempt) store {
	return store{js: js, stream: stream, attempt: run, maxFacts: maxFacts(js, stream)}
}

const (
	// readers is how many messages are read at a time.
	readers = 16
	// streamTimeout is how long the stream may be away within a walk.
	streamTimeout = 2 * time.Minute
	// messageTooLarge and headerTooLarge are JetStream's error codes.
	messageTooLarge = 10054
	headerTooLarge  = 10097
)

// notStored: the stream is away; the walk is repeated when it is back.
func notStored(cause error) error {
	return &failure.Error{Kind: failure.Unavailable, Text: "the stream " + topology.StreamMailboxes + " could not be read or written", Cause: cause}
}

// refused means that one observation cannot be published, whatever is done. It says nothing of the
// others.
type refused struct{ error }

// isPermanent tells whether the stream refuses a message for what it is: to publish it again is in
// vain.
func isPermanent(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) ||
		errors.As(err, &api) && (api.ErrorCode == messageTooLarge || api.ErrorCode == headerTooLarge)
}

// read reads messages by their sequences. One that another sync has replaced meanwhile is left
// zero.
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
	msg, err := retry(ctx, func() (*jetstream.RawStreamMsg, error) { return s.stream.GetMsg(ctx, sequence) })
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, notStored(err)
	}
	return readStored(msg), nil
}

// retry asks the stream again while it is away.
func retry[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	return backoff.Retry(ctx, func() (T, error) {
		v, err := ask()
		if errors.Is(err, jetstream.ErrMsgNotFound) || isWrongSequence(err) || isPermanent(err) {
			return v, backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithMaxElapsedTime(streamTimeout))
}

// isWrongSequence tells whether another message has come on the subject meanwhile.
func isWrongSequence(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// loadPrevious reads the messages that observations follow on, for what has changed since.
func (s store) loadPrevious(ctx context.Context, list []observation) error {
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
			list[i].follow(before[n])
		}
	}
	return nil
}

// reportMissing gives the observations that mailboxes were not met, by the sequences of their messages.
// unreadable are messages that do not tell which mailbox they are of.
func (s store) missingObservations(ctx context.Context, sequences []uint64) (list []observation, unreadable []stored, err error) {
	before, err := s.read(ctx, sequences)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now().UTC()
	for _, b := range before {
		if b.sequence == 0 {
			continue // another sync has met it
		}
		if o, ok := b.missing(now); ok {
			list = append(list, o)
		} else {
			unreadable = append(unreadable, b)
		}
	}
	return list, unreadable, nil
}

// publication is what became of an observation.
type publication struct {
	// published is false where another sync has published as much meanwhile, and where the
	// observation was refused.
	published bool
	refused   error
}

// publish publishes observations, all in flight at once. An error is the stream's; what concerns one
// observation alone is in its publication. It leaves out of each what is too large, and names that
// in the observation.
func (s store) publish(ctx context.Context, list []observation) ([]publication, error) {
	s.attempt.Reach(failpoint.Put)
	acks := make([]jetstream.PubAckFuture, len(list))
	for i := range list {
		list[i].fit(s.maxFacts)
		if msg, err := list[i].message(s.attempt); err == nil {
			// An error is left to resolve: too much is in flight, the connection is closed, or the
			// message is too large.
			acks[i], _ = s.js.PublishMsgAsync(msg, jetstream.WithExpectLastSequencePerSubject(list[i].replaces))
		}
	}
	s.attempt.Reach(failpoint.Putting)
	outcomes := make([]publication, len(list))
	for i, f := range acks {
		published, err := confirm(ctx, f)
		if err == nil && !published {
			published, err = s.resolve(ctx, &list[i])
		}
		if r, ok := errors.AsType[*refused](err); ok {
			outcomes[i].refused, err = r.error, nil
		}
		if err != nil {
			return nil, err
		}
		outcomes[i].published = published
	}
	s.attempt.Reach(failpoint.PutDone)
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
	case <-f.Err(): //nolint:errcheck // resolve finds out why
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// resolve finds out why an observation was not acknowledged, and publishes it unless another sync
// has published as much, or newer facts. It reports whether the observation stands in the stream.
func (s store) resolve(ctx context.Context, o *observation) (bool, error) {
	for {
		msg, err := retry(ctx, func() (*jetstream.RawStreamMsg, error) {
			return s.stream.GetLastMsgForSubject(ctx, topology.MailboxSubject(s.attempt.Tenant, o.key))
		})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			o.replaces, o.first, o.previous = 0, time.Time{}, nil
		case err != nil:
			return false, notStored(err)
		default:
			if over, ours := o.superseded(readStored(msg), s.attempt.ID); over {
				return ours, nil
			}
		}
		o.fit(s.maxFacts)
		m, err := o.message(s.attempt)
		if err != nil {
			return false, &refused{err}
		}
		_, err = retry(ctx, func() (*jetstream.PubAck, error) {
			return s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(o.replaces))
		})
		switch {
		case isWrongSequence(err):
			continue
		case isPermanent(err):
			return false, &refused{err}
		case err != nil:
			return false, notStored(err)
		}
		return true, nil
	}
}

// superseded compares an observation with the mailbox's last message. over: nothing is to be
// published; ours: because this operation has published it. Otherwise the observation follows on
// that message now.
func (o *observation) superseded(last stored, operationID string) (over, ours bool) {
	if last.operationID == operationID && last.content == o.content && last.change == o.change {
		return true, true // only the confirmation was lost
	}
	if last.sequence == o.replaces {
		return false, false // the message itself was lost
	}
	if last.unreadable {
		o.follow(last)
		return o.change == event.ChangeMissing, false
	}
	same := last.content == o.content && last.change != event.ChangeMissing
	if o.change == event.ChangeMissing || same || last.at.After(o.at) {
		return true, false
	}
	o.follow(last)
	o.change = event.ChangeChanged
	if last.change == event.ChangeMissing {
		o.change = event.ChangeReturned
	}
	return false, false
}
