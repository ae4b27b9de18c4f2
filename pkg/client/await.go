package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// ErrNoOutcome says that ctx ended before every operation had its outcome. The operations go on.
var ErrNoOutcome = errors.New("no outcome yet")

// DeadError says that a command was given up; DEAD holds the reason.
type DeadError struct{ Letter event.DeadLetter }

// Error implements error.
func (e *DeadError) Error() string {
	return fmt.Sprintf("given up, see DEAD: %s: %s (message %d of %s)", e.Letter.Reason, e.Letter.Detail, e.Letter.Sequence, e.Letter.Stream)
}

// Outcome is what became of a command.
type Outcome struct {
	// State is succeeded, failed, rejected or cancelled.
	State event.State
	// Event says what was done, or why not: its DataAs gives the data, such as
	// [event.MailboxCreatedData] or [event.FailedData].
	Event event.Event
}

// String says the outcome in a line, for logs and tests.
func (o Outcome) String() string {
	return fmt.Sprintf("%s: %s %s", o.State, o.Event.Type(), o.Event.Data())
}

// Await waits for the outcome of a command that [Send] has stored.
//
// The receipt of [Command.Message] serves too, where somebody else has published the command, and
// so does Receipt{Tenant: tenant, OperationID: id}, for a program that was restarted since. Without
// the Sequence, a dead letter about any command with that source and id counts; without the
// command, so does the outcome of one with other data.
//
// Errors: [ErrNoOutcome], with ctx's own, where ctx ended before; the Outcome is then the latest
// that was heard, and its Event is zero where no service has taken the command up. *[DeadError]
// where the command was given up. [ErrNoStreams].
func Await(ctx context.Context, js jetstream.JetStream, r Receipt) (Outcome, error) {
	var last Update
	err := AwaitAll(ctx, js, []Receipt{r}, func(n Update) { last = n })
	if err == nil && last.Dead != nil {
		err = &DeadError{*last.Dead}
	}
	return Outcome{State: last.State, Event: last.Event}, err
}

// Update is one thing heard of a published command: an event of its operation, or that it was given
// up.
type Update struct {
	Receipt Receipt
	Event   event.Event       // where Dead is nil
	State   event.State       // that the event leaves the operation in
	Dead    *event.DeadLetter // the command ended in DEAD
}

// Final reports whether nothing more will happen.
func (n Update) Final() bool { return n.Dead != nil || n.State.Terminal() }

// AwaitAll hands on all news of the commands, from each operation's first event on, as they come,
// until each is settled; a command that is among them twice is told of once. on is called by the
// goroutine of the caller. Where ctx ends before, the error is [ErrNoOutcome].
func AwaitAll(ctx context.Context, js jetstream.JetStream, receipts []Receipt, on func(Update)) error {
	w := waiting{open: map[command]Receipt{}, results: map[string][]command{}}
	var results, letters []string
	for _, r := range receipts {
		if !event.ValidTenant(r.Tenant) {
			return fmt.Errorf("the receipt of operation %s names no tenant", r.OperationID)
		}
		for _, domain := range r.domains() {
			w.add(r, topology.EventSubject(r.Tenant, domain, r.OperationID))
			results = append(results, topology.EventSubject(r.Tenant, domain, r.OperationID))
			letters = append(letters, topology.DeadSubject(r.Tenant, domain, r.OperationID), topology.DeadSubject(r.Tenant, domain, ""))
		}
	}
	if len(w.open) == 0 {
		return nil
	}
	messages, err := Follow(ctx, js, slices.Concat(sources(topology.StreamEvents, results), sources(topology.StreamDead, letters))...)
	if ctx.Err() != nil {
		return noOutcome(ctx)
	}
	if err != nil {
		return err
	}
	for m := range messages {
		for _, n := range w.read(m) {
			on(n)
			if n.Final() {
				delete(w.open, n.Receipt.command())
			}
		}
		if len(w.open) == 0 {
			return nil
		}
	}
	return noOutcome(ctx)
}

func noOutcome(ctx context.Context) error {
	return fmt.Errorf("%w (%w)", ErrNoOutcome, context.Cause(ctx))
}

// domains are those in which the operation may be: all, for a receipt that does not say.
func (r Receipt) domains() []event.Domain {
	if r.Domain == "" {
		return event.Domains()
	}
	return []event.Domain{r.Domain}
}

// subjectsPerConsumer bounds the filters of one consumer: the server compares each with each.
const subjectsPerConsumer = 250

func sources(stream string, subjects []string) []Source {
	slices.Sort(subjects)
	var list []Source
	for chunk := range slices.Chunk(slices.Compact(subjects), subjectsPerConsumer) {
		list = append(list, Source{stream, jetstream.OrderedConsumerConfig{FilterSubjects: chunk}})
	}
	return list
}

// command tells commands apart, by their sequence in COMMANDS: one that was published twice stands
// there once, and two may share source and id by mistake. Where the sequence is not known, the
// operation has to do.
type command struct {
	sequence    uint64
	operationID string // where sequence is 0
}

func (r Receipt) command() command {
	if r.Sequence > 0 {
		return command{sequence: r.Sequence}
	}
	return command{operationID: r.OperationID}
}

// waiting are the commands without an outcome.
type waiting struct {
	open    map[command]Receipt
	results map[string][]command // by the subject of their results
}

func (w waiting) add(r Receipt, results string) {
	c := r.command()
	w.open[c] = r
	if !slices.Contains(w.results[results], c) {
		w.results[results] = append(w.results[results], c)
	}
}

// read tells whom a message is news for. What is not for us, or not readable, is news for nobody.
func (w waiting) read(m jetstream.Msg) []Update {
	if meta, err := m.Metadata(); err == nil && meta.Stream == topology.StreamDead {
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
	var news []Update
	for _, c := range w.results[m.Subject()] {
		if r, open := w.open[c]; open && r.answeredBy(e) {
			news = append(news, Update{Receipt: r, Event: e, State: state})
		}
	}
	return news
}

func (w waiting) readLetter(body []byte) []Update {
	letter, err := event.ReadDeadLetter(body)
	if err != nil || letter.Stream != topology.StreamCommands {
		return nil
	}
	var news []Update
	for _, c := range []command{{sequence: letter.Sequence}, {operationID: letter.OperationID}} {
		if r, open := w.open[c]; open {
			news = append(news, Update{Receipt: r, Dead: &letter})
		}
	}
	return news
}

// answeredBy reports whether an event of the operation is about this command. With another
// fingerprint it is about an earlier command with the same source and id, whose outcome is not
// ours: ours will end in DEAD.
func (r Receipt) answeredBy(e event.Event) bool {
	var data struct {
		Operation event.OperationData `json:"operation"`
	}
	_ = e.DataAs(&data) // unreadable: no fingerprint
	f := data.Operation.Fingerprint
	return f == "" || r.fingerprint == "" || f == r.fingerprint
}
