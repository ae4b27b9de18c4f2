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

// store reads and writes the stream MAILBOXES for a walk. Each message is published under the
// condition that the last message of its subject is still the one that the walk read. Without that,
// two syncs of a tenant at the same time would overwrite each other's observations.
type store struct {
	js       jetstream.JetStream
	stream   jetstream.Stream
	attempt  *operation.Attempt
	maxFacts int // see [maxFacts]
}

func newStore(js jetstream.JetStream, stream jetstream.Stream, run *operation.Attempt) store {
	return store{js: js, stream: stream, attempt: run, maxFacts: maxFacts(js, stream)}
}

const (
	// readers is the number of messages that are read concurrently.
	readers = 16
	// streamTimeout is how long a request to the stream is retried while the stream is unavailable.
	streamTimeout = 2 * time.Minute
	// messageTooLarge and headerTooLarge are JetStream's error codes.
	messageTooLarge = 10054
	headerTooLarge  = 10097
)

// notStored is the error for an unavailable stream. The operation is tried again later.
func notStored(cause error) error {
	return &failure.Error{
		Kind: failure.Unavailable, Cause: cause,
		Text: "the stream " + topology.StreamMailboxes + " could not be read or written",
	}
}

// refused is the error for an observation that the stream will never accept. It says nothing about
// other observations.
type refused struct{ error }

// isPermanent reports whether the stream or the client refuses the message as such, so that
// publishing it again would fail again.
func isPermanent(err error) bool {
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == messageTooLarge || api.ErrorCode == headerTooLarge)
}

// read reads messages by their sequences. A message that another sync has replaced since is the
// zero value.
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

// retry calls ask until it succeeds or fails for a reason that does not pass, for [streamTimeout]
// at most.
func retry[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	return backoff.Retry(ctx, func() (T, error) {
		v, err := ask()
		if errors.Is(err, jetstream.ErrMsgNotFound) || isWrongSequence(err) || isPermanent(err) {
			return v, backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithMaxElapsedTime(streamTimeout))
}

// isWrongSequence reports whether the condition of a publish failed: the subject has a newer
// message.
func isWrongSequence(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// loadPrevious reads the last message of each observation's mailbox, and sets what has changed
// since.
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
		if before[n].sequence > 0 { // otherwise publish reads the message that replaced it
			list[i].follow(before[n])
		}
	}
	return nil
}

// missingObservations returns the observations that mailboxes are missing, for the sequences of
// their last messages. unreadable are the messages that do not say which mailbox they are about.
func (s store) missingObservations(ctx context.Context, sequences []uint64) (list []observation, unreadable []stored, err error) {
	before, err := s.read(ctx, sequences)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now().UTC()
	for _, b := range before {
		if b.sequence == 0 {
			continue // another sync has published a newer observation
		}
		if o, ok := b.missing(now); ok {
			list = append(list, o)
		} else {
			unreadable = append(unreadable, b)
		}
	}
	return list, unreadable, nil
}

// publication is the result of publishing an observation.
type publication struct {
	// published is false if another sync has published the same or newer facts, and if the
	// observation was refused.
	published bool
	// refused is why the stream will never accept the observation; nil if it is accepted.
	refused error
}

// publish publishes observations, all in flight at once. Members for which a message has no room
// are left out, and named in the observation. The error is about the stream; an error about one
// observation is in its publication.
func (s store) publish(ctx context.Context, list []observation) ([]publication, error) {
	s.attempt.Reach(failpoint.Put)
	acks := make([]jetstream.PubAckFuture, len(list))
	for i := range list {
		list[i].fit(s.maxFacts)
		if msg, err := list[i].message(s.attempt); err == nil {
			// On an error there is no future, and resolve publishes the message: too many messages
			// are in flight, the connection is closed, or the message is too large.
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
			outcomes[i].refused = r.error
			continue
		}
		if err != nil {
			return nil, err
		}
		outcomes[i].published = published
	}
	s.attempt.Reach(failpoint.PutDone)
	return outcomes, nil
}

// confirm waits until the stream has acknowledged or refused a message. It returns false if the
// stream refused it, and if the message was not sent, which is a nil future.
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

// resolve publishes an observation that was not acknowledged, unless it is in the stream already or
// another sync has published the same or newer facts. It reports whether this operation's
// observation is in the stream. The error is a [*refused] if the stream will never accept the
// observation.
func (s store) resolve(ctx context.Context, o *observation) (bool, error) {
	for {
		msg, err := retry(ctx, func() (*jetstream.RawStreamMsg, error) {
			return s.stream.GetLastMsgForSubject(ctx, topology.MailboxSubject(s.attempt.Tenant, o.key))
		})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			o.replaces = 0
			o.first = time.Time{}
			o.previous = nil
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

// superseded compares an observation with its mailbox's last message. over is true if nothing is
// left to publish, ours is true if that is because this operation published that message. If over
// is false, the observation is made the successor of that message.
func (o *observation) superseded(last stored, operationID string) (over, ours bool) {
	if last.operationID == operationID && last.content == o.content && last.change == o.change {
		return true, true // only the acknowledgement was lost
	}
	if last.sequence == o.replaces {
		return false, false // our message was lost
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
