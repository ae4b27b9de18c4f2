package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/bus"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/operation"
)

// ErrNoOutcome says that ctx ended before every operation had its outcome. The operations go on.
var ErrNoOutcome = errors.New("no outcome yet")

// DeadError says that a command was given up; DEAD holds the reason.
type DeadError struct{ Letter operation.DeadLetter }

// Error implements error.
func (e *DeadError) Error() string {
	return fmt.Sprintf("given up, see DEAD: %s", DescribeDead(e.Letter))
}

// News is one thing heard of a published command: an event of its operation, or that it was given up.
type News struct {
	Receipt Receipt
	Event   event.Event           // where Dead is nil
	State   event.State           // that the event leaves the operation in
	Dead    *operation.DeadLetter // the command ended in DEAD
}

// Settled reports whether nothing more will happen.
func (n News) Settled() bool { return n.Dead != nil || n.State.Terminal() }

// Await hands each event of a command's operation to onEvent, which may be nil, and returns the one that is
// its outcome: succeeded, failed or rejected. Errors: *DeadError, and ErrNoOutcome where ctx ended before.
func Await(ctx context.Context, js jetstream.JetStream, r Receipt, onEvent func(event.Event)) (event.Event, error) {
	var last News
	err := AwaitAll(ctx, js, []Receipt{r}, func(n News) {
		last = n
		if n.Dead == nil && onEvent != nil {
			onEvent(n.Event)
		}
	})
	if err != nil {
		return event.Event{}, err
	}
	if last.Dead != nil {
		return event.Event{}, &DeadError{*last.Dead}
	}
	return last.Event, nil
}

// subjectsPerConsumer bounds the filters of one consumer: the server compares each with each.
const subjectsPerConsumer = 250

// AwaitAll hands on all news of the commands, as they come, until each is settled. Where ctx ends before,
// the error is ErrNoOutcome.
func AwaitAll(ctx context.Context, js jetstream.JetStream, receipts []Receipt, on func(News)) error {
	w := waiting{open: map[uint64]Receipt{}, results: map[string][]uint64{}}
	var results, letters []string
	for _, r := range receipts {
		w.add(r)
		results = append(results, r.Results)
		letters = append(letters, bus.DeadSubject(r.Domain, r.OperationID), bus.DeadSubject(r.Domain, ""))
	}
	if len(w.open) == 0 {
		return nil
	}
	messages, err := Follow(ctx, js, slices.Concat(sources(bus.Events, results), sources(bus.Dead, letters))...)
	if err != nil {
		return err
	}
	for m := range messages {
		for _, n := range w.read(m) {
			on(n)
			if n.Settled() {
				delete(w.open, n.Receipt.Sequence)
			}
		}
		if len(w.open) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w (%w)", ErrNoOutcome, context.Cause(ctx))
}

func sources(stream string, subjects []string) []Source {
	slices.Sort(subjects)
	var list []Source
	for chunk := range slices.Chunk(slices.Compact(subjects), subjectsPerConsumer) {
		list = append(list, Source{stream, jetstream.OrderedConsumerConfig{FilterSubjects: chunk}})
	}
	return list
}

// waiting are the commands without an outcome.
type waiting struct {
	open    map[uint64]Receipt  // by sequence in COMMANDS: one that was published twice stands there once
	results map[string][]uint64 // subject of results to sequences: several where commands share source and id
}

func (w waiting) add(r Receipt) {
	if _, twice := w.open[r.Sequence]; !twice {
		w.open[r.Sequence] = r
		w.results[r.Results] = append(w.results[r.Results], r.Sequence)
	}
}

// read tells whom a message is news for. What is not for us, or not readable, is news for nobody.
func (w waiting) read(m jetstream.Msg) []News {
	if meta, err := m.Metadata(); err == nil && meta.Stream == bus.Dead {
		return w.readLetter(m.Data())
	}
	e, err := event.Decode(m.Headers(), m.Data())
	if err != nil {
		return nil
	}
	state, ok := event.StateOf(e)
	if !ok {
		return nil
	}
	var news []News
	for _, sequence := range w.results[m.Subject()] {
		if r, open := w.open[sequence]; open && r.answeredBy(e) {
			news = append(news, News{Receipt: r, Event: e, State: state})
		}
	}
	return news
}

func (w waiting) readLetter(body []byte) []News {
	letter, err := operation.ReadDeadLetter(body)
	if err != nil || letter.Stream != bus.Commands {
		return nil
	}
	r, ours := w.open[letter.Sequence]
	if !ours {
		return nil
	}
	return []News{{Receipt: r, Dead: &letter}}
}

// answeredBy reports whether an event of the operation is about this command. With another fingerprint it is
// about an earlier command with the same source and id, whose outcome is not ours: ours will end in DEAD.
func (r Receipt) answeredBy(e event.Event) bool {
	var data struct {
		Operation event.OperationData `json:"operation"`
	}
	_ = e.DataAs(&data) // unreadable: no fingerprint
	f := data.Operation.Fingerprint
	return f == "" || f == r.fingerprint
}
