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

// ErrNoOutcome says that ctx ended before every operation had its outcome. The operations go on,
// and can be awaited again.
var ErrNoOutcome = errors.New("no outcome yet")

// DeadError says that a command ended in the stream DEAD. Letter holds the reason and where the
// command is.
type DeadError struct{ Letter event.DeadLetter }

// Error implements error.
func (e *DeadError) Error() string {
	return fmt.Sprintf("given up, see DEAD: %s: %s (message %d of %s)", e.Letter.Reason, e.Letter.Detail, e.Letter.Sequence, e.Letter.Stream)
}

// Outcome is how an operation ended.
type Outcome struct {
	// State is succeeded, failed, rejected or cancelled.
	State event.State
	// Event is the operation's last event: what was done, or why not. Its DataAs decodes the data,
	// such as [event.MailboxCreatedData] or [event.FailedData].
	Event event.Event
}

// String is the state, the event type and the event data in one line, for logs and tests.
func (o Outcome) String() string {
	return fmt.Sprintf("%s: %s %s", o.State, o.Event.Type(), o.Event.Data())
}

// Await waits for the outcome of a command that [Send] has stored, until ctx ends. It may be called
// at any time after the command was stored, and more than once.
//
// If another program has published the command, or this one was restarted since, the receipt of
// [Command.Message] serves too, and so does Receipt{Tenant: tenant, OperationID: id}. Without
// Sequence, a dead letter about any command with the same source and id ends the wait. Without the
// fingerprint that a receipt of Message has, the outcome of an earlier command with the same source
// and id and other data does so too.
//
// Errors: [ErrNoOutcome], joined with ctx's own, if ctx ended first; the Outcome then holds the
// last event seen, which is the zero event if no service has read the command yet. *[DeadError] if
// the command ended in DEAD. [ErrNoStreams] if the streams do not exist.
func Await(ctx context.Context, js jetstream.JetStream, r Receipt) (Outcome, error) {
	var last Update
	err := AwaitAll(ctx, js, []Receipt{r}, func(n Update) { last = n })
	if err == nil && last.Dead != nil {
		err = &DeadError{*last.Dead}
	}
	return Outcome{State: last.State, Event: last.Event}, err
}

// Update is one message about a published command: an event of its operation, or a dead letter.
type Update struct {
	Receipt Receipt
	Event   event.Event       // zero if Dead is set
	State   event.State       // the operation's state after Event
	Dead    *event.DeadLetter // not nil if the command ended in DEAD
}

// Final reports whether no further update follows: the operation has its outcome, or the command
// ended in DEAD.
func (n Update) Final() bool { return n.Dead != nil || n.State.Terminal() }

// AwaitAll calls on for each update of the commands, from each operation's first event on, until
// the last update of each is final. on is called on the caller's goroutine. A command that is in
// receipts twice is reported once.
//
// Errors: [ErrNoOutcome] if ctx ended first, [ErrNoStreams], or an error about a receipt without a
// tenant. A dead letter is an update and no error.
//
// NATS permissions that limit the caller to a tenant or a domain allow at most eight operations in
// one call: with more, the request for a consumer has several filters, and the server denies it.
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

// domains are the domains in which the operation may be: all, if the receipt does not name one.
func (r Receipt) domains() []event.Domain {
	if r.Domain == "" {
		return event.Domains()
	}
	return []event.Domain{r.Domain}
}

const (
	// subjectsPerConsumer bounds the filters of a consumer: the server compares each filter with
	// every other.
	subjectsPerConsumer = 250
	// maxSingleFilters is the largest number of subjects of a stream for which each subject gets a
	// consumer of its own. A request for a consumer with one filter has the filter in its subject,
	// so permissions can limit a publisher to its tenant. A request with several filters has none.
	maxSingleFilters = 8
)

func sources(stream string, subjects []string) []Source {
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	size := subjectsPerConsumer
	if len(subjects) <= maxSingleFilters {
		size = 1
	}
	var list []Source
	for chunk := range slices.Chunk(subjects, size) {
		list = append(list, Source{stream, jetstream.OrderedConsumerConfig{FilterSubjects: chunk}})
	}
	return list
}

// command identifies a command by its sequence in COMMANDS. Two commands may have the same source
// and id by mistake, and they have two sequences. If the sequence is not known, the operation id is
// used.
type command struct {
	sequence    uint64
	operationID string // set if sequence is 0
}

func (r Receipt) command() command {
	if r.Sequence > 0 {
		return command{sequence: r.Sequence}
	}
	return command{operationID: r.OperationID}
}

// waiting holds the commands without an outcome.
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

// read returns the updates that a message is. A message that cannot be decoded, or is about other
// commands, is none.
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
	var updates []Update
	for _, c := range w.results[m.Subject()] {
		if r, open := w.open[c]; open && r.answeredBy(e) {
			updates = append(updates, Update{Receipt: r, Event: e, State: state})
		}
	}
	return updates
}

func (w waiting) readLetter(body []byte) []Update {
	letter, err := event.ReadDeadLetter(body)
	if err != nil || letter.Stream != topology.StreamCommands {
		return nil
	}
	var updates []Update
	for _, c := range []command{{sequence: letter.Sequence}, {operationID: letter.OperationID}} {
		if r, open := w.open[c]; open {
			updates = append(updates, Update{Receipt: r, Dead: &letter})
		}
	}
	return updates
}

// answeredBy reports whether an event of the operation is about this command. An event with another
// fingerprint is about an earlier command with the same source and id. This command will then end
// in DEAD.
func (r Receipt) answeredBy(e event.Event) bool {
	var data struct {
		Operation event.OperationData `json:"operation"`
	}
	_ = e.DataAs(&data) // on an error there is no fingerprint
	f := data.Operation.Fingerprint
	return f == "" || r.fingerprint == "" || f == r.fingerprint
}
