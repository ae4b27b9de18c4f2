package erasure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/streamreader"
)

// Operation names an operation.
type Operation struct {
	Tenant string       `json:"tenant"`
	Domain event.Domain `json:"domain"`
	ID     string       `json:"operationId"`
}

// String gives <tenant>/<domain>/<operation id>.
func (o Operation) String() string { return o.Tenant + "/" + string(o.Domain) + "/" + o.ID }

// parseOperation reads what String writes.
func parseOperation(text string) (Operation, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return Operation{}, fmt.Errorf("%q names no operation", text)
	}
	return Operation{parts[0], event.Domain(parts[1]), parts[2]}, nil
}

// Found is what the streams hold about a person.
type Found struct {
	// Operations are those of which a command, an event or a dead letter names the person, by name.
	Operations []Operation
	// Open are the operations, and messages without one, that have not ended, with what is missing.
	// Nothing is erased while there are any.
	Open []Open

	operations map[Operation]bool // those of Operations
	events     uint64             // how many they have
	rows       uint64             // that name the person
	commands   []stored
	// lastCommand is the last sequence of COMMANDS that was read.
	lastCommand uint64
	// letters, observations and drift are sequences in DEAD, MAILBOXES and DRIFT. schedules are
	// some in PARKED, which refer to no command.
	letters, observations, drift, schedules []uint64
	letterOf                                map[Operation]uint64 // the last one of an operation
}

// Open is what has not ended.
type Open struct {
	// Operation has no id if the command cannot be read.
	Operation
	// Why says what is missing.
	Why string `json:"why"`
}

// stored is a command in COMMANDS.
type stored struct {
	sequence  uint64
	address   topology.Address
	operation Operation // without an id: the command cannot be read
}

// Counts are how many messages of each stream are about a person.
type Counts struct {
	Operations   int    `json:"operations"`
	Commands     uint64 `json:"commands"`
	Events       uint64 `json:"events"`
	Observations uint64 `json:"observations"`
	Drift        uint64 `json:"drift"`
	DeadLetters  uint64 `json:"deadLetters"`
	// Rows are those that name the person, in Postgres.
	Rows uint64 `json:"rows"`
}

// Counts counts what was found.
func (f *Found) Counts() Counts {
	return Counts{
		Operations: len(f.Operations), Commands: uint64(len(f.commands)), Events: f.events,
		Observations: uint64(len(f.observations)), Drift: uint64(len(f.drift)), DeadLetters: uint64(len(f.letters)),
		Rows: f.rows,
	}
}

// finder reads the streams.
type finder struct {
	Config
	match Matcher
	found *Found
}

// find reads every stream from its beginning to its end: what names the person, and the rest of
// each operation of which something does. known are operations that an erasure before this one has
// found.
func (c Config) find(ctx context.Context, known []Operation) (*Found, error) {
	f := &finder{c, NewMatcher(c.Match), &Found{operations: map[Operation]bool{}}}
	for _, o := range known {
		f.found.operations[o] = true
	}
	if err := f.each(ctx, topology.StreamEvents, 1, f.onEvent); err != nil {
		return nil, err
	}
	// A command or a dead letter may be the first to tell of an operation that has others before
	// it.
	for size := -1; size != len(f.found.operations); {
		size = len(f.found.operations)
		f.found.commands, f.found.letters, f.found.letterOf = nil, nil, map[Operation]uint64{}
		if err := f.each(ctx, topology.StreamDead, 1, f.onLetter); err != nil {
			return nil, err
		}
		if err := f.each(ctx, topology.StreamCommands, 1, f.onCommand); err != nil {
			return nil, err
		}
	}
	for stream, sequences := range map[string]*[]uint64{topology.StreamMailboxes: &f.found.observations, topology.StreamDrift: &f.found.drift} {
		err := f.each(ctx, stream, 1, func(m message) {
			if f.isMeant(m) {
				*sequences = append(*sequences, m.sequence)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	f.found.Operations = slices.SortedFunc(maps.Keys(f.found.operations), func(a, b Operation) int { return strings.Compare(a.String(), b.String()) })
	var err error
	if f.found.rows, err = c.countRows(ctx); err != nil {
		return nil, err
	}
	return f.found, f.check(ctx)
}

// message is one of a stream.
type message struct {
	sequence uint64
	subject  string
	header   nats.Header
	data     []byte
}

// refuseNew returns an error if a command about the person came after those that were found. One
// whose operation has a record would find it purged, and be carried out again.
func (c Config) refuseNew(ctx context.Context, found *Found) error {
	f := &finder{c, NewMatcher(c.Match), &Found{operations: maps.Clone(found.operations)}}
	if err := f.each(ctx, topology.StreamCommands, found.lastCommand+1, f.onCommand); err != nil {
		return err
	}
	if n := len(f.found.commands); n > 0 {
		return fmt.Errorf("%d commands about the person have been published meanwhile: await their outcomes", n)
	}
	return nil
}

// each visits the messages of a stream from a sequence on.
func (f *finder) each(ctx context.Context, stream string, from uint64, visit func(message)) error {
	f.report("reading " + stream)
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	for m, err := range streamreader.Messages(ctx, f.JS, stream, config) {
		if err != nil {
			return err
		}
		visit(message{m.Metadata.Sequence.Stream, m.Subject(), m.Headers(), m.Data()})
	}
	return nil
}

// eachParked visits the messages of PARKED, one request each: a work queue takes no consumer that
// only reads.
func (f *finder) eachParked(ctx context.Context, visit func(message)) error {
	f.report("reading " + topology.StreamParked)
	parked, err := f.JS.Stream(ctx, topology.StreamParked)
	if err != nil {
		return fmt.Errorf("stream %s: %w", topology.StreamParked, err)
	}
	for sequence := uint64(1); ; sequence++ {
		m, err := parked.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", topology.StreamParked, err)
		}
		sequence = m.Sequence
		visit(message{m.Sequence, m.Subject, m.Header, m.Data})
	}
}

// ofTenant reports whether a subject is of one of the tenants that are asked for. An advisory of
// JetStream is of none.
func (f *finder) ofTenant(subject string) bool {
	tokens := strings.Split(subject, ".")
	return len(f.Tenants) == 0 || len(tokens) > 2 && slices.Contains(f.Tenants, tokens[2])
}

// isMeant reports whether a message names the person, and is of one of the tenants.
func (f *finder) isMeant(m message) bool {
	return f.ofTenant(m.subject) && f.match.Message(m.subject, m.header, m.data)
}

// onEvent has an operation of which an event names the person.
func (f *finder) onEvent(m message) {
	tenant, domain := topology.SubjectTokens(m.subject)
	token := m.subject[strings.LastIndex(m.subject, ".")+1:]
	o := Operation{tenant, domain, token}
	if !f.found.operations[o] && f.isMeant(m) {
		f.found.operations[o] = true
	}
}

func (f *finder) onCommand(m message) {
	f.found.lastCommand = max(f.found.lastCommand, m.sequence)
	address, ok := topology.ParseCommandSubject(m.subject)
	if !ok { // of a key that is a wildcard, which belongs to no partition
		address.Tenant, address.Domain = topology.SubjectTokens(m.subject)
		address.Partition = -1
	}
	o := Operation{Tenant: address.Tenant, Domain: address.Domain}
	if command, err := event.ReadCommand(m.header, m.data); err == nil && ok {
		o.ID = event.OperationOf(address.Tenant, command.Event)
	}
	if !f.found.operations[o] && !f.isMeant(m) {
		return
	}
	if o.ID != "" {
		f.found.operations[o] = true
	}
	f.found.commands = append(f.found.commands, stored{m.sequence, address, o})
}

func (f *finder) onLetter(m message) {
	letter, _ := event.ReadDeadLetter(m.data)
	tenant, domain := topology.SubjectTokens(m.subject)
	o := Operation{tenant, domain, letter.OperationID}
	if !f.found.operations[o] && !f.isMeant(m) {
		return
	}
	f.found.letters = append(f.found.letters, m.sequence)
	if o.ID != "" {
		f.found.operations[o] = true
		f.found.letterOf[o] = m.sequence
	}
}

// lastOf reads the state of an operation by its last event, and counts its events. state is "" if
// it has none.
func (f *finder) lastOf(ctx context.Context, events jetstream.Stream, o Operation) (state event.State, err error) {
	subject := topology.EventSubject(o.Tenant, o.Domain, o.ID)
	m, err := events.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the record of operation %s: %w", o.ID, err)
	}
	info, err := events.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return "", fmt.Errorf("count the events of operation %s: %w", o.ID, err)
	}
	f.found.events += info.State.Subjects[subject]
	return stateOf(m.Header, m.Data), nil
}

// stateOf reads the state that an event says; "unreadable" if it says none.
func stateOf(header nats.Header, data []byte) event.State {
	e, err := event.Decode(header, data)
	if err != nil {
		return "unreadable"
	}
	if state, ok := event.StateOf(e); ok {
		return state
	}
	if state := event.State(event.Extension(e, event.AttrState)); state.Known() {
		return state
	}
	return "unreadable"
}
