package operation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
)

// foreign puts a message that no service of ours writes on the subject of an operation's record.
func (b *env) foreign(subject string, header nats.Header, data string) {
	b.Helper()
	if _, err := b.js.PublishMsg(b.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(data)}); err != nil {
		b.Fatal(err)
	}
}

// ofLaterVersion writes the last event of a record once more, as one of a type that this version
// does not know.
func (b *env) ofLaterVersion(subject string, state event.State) {
	b.Helper()
	last, err := b.stream(topology.StreamEvents).GetLastMsgForSubject(b.Context(), subject)
	if err != nil {
		b.Fatal(err)
	}
	header := attributesOf(last.Header)
	header["ce-type"] = []string{event.Prefix + "delegation.pondered.v7"}
	delete(header, "ce-"+event.AttrState)
	if state != "" {
		header["ce-"+event.AttrState] = []string{string(state)}
	}
	b.foreign(subject, header, dueNow(b.T, last.Data))
}

// attributesOf are the headers of an event without those of NATS.
func attributesOf(header nats.Header) nats.Header {
	attributes := nats.Header{}
	for name, values := range header {
		if strings.HasPrefix(name, "ce-") {
			attributes[name] = values
		}
	}
	return attributes
}

// dueNow changes the data of a waiting event so that the next attempt may be made.
func dueNow(t *testing.T, waiting []byte) string {
	t.Helper()
	var data map[string]any
	if err := json.Unmarshal(waiting, &data); err != nil {
		t.Fatal(err)
	}
	data["nextAttemptAt"] = data["since"]
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// laterTypes are what a later version may have written, and what becomes of the operation.
var laterTypes = map[string]struct {
	state   event.State
	calls   int
	outcome string // its type; "": none
	reason  string // of the dead letter; "": none
}{
	"says nothing":    {"", 0, "", operation.RecordUnreadable},
	"says nonsense":   {"pondering", 0, "", operation.RecordUnreadable},
	"waits":           {event.StateWaiting, 1, event.TypeDelegationChanged, ""},
	"has succeeded":   {event.StateSucceeded, 0, "", ""},
	"is being called": {event.StateStarted, 1, event.TypeDelegationChanged, ""},
}

// TestARecordOfALaterVersion is understood where its state stands beside the type, and given up
// where not. The next command of the key is carried out in any case.
func TestARecordOfALaterVersion(t *testing.T) {
	t.Parallel()
	t.Run("from COMMANDS", func(t *testing.T) {
		t.Parallel()
		b := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
			Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
				return operation.Reply{}, throttledFor(3600)
			},
		})
		for name, c := range laterTypes {
			b.publish(on(name, command(name, valid)))
			b.until("it waits", func() bool { return b.parked(event.Token(name)) == 1 })
			b.ofLaterVersion(b.subject(name), c.state)
		}
		b.stop()
		if err := b.stream(topology.StreamParked).Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name := range laterTypes {
			b.publish(on(name, command(name, valid)))
			b.publish(on(name, command("next of "+name, valid)))
		}
		var j journal
		b.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform})
		b.wantLaterTypes(&j)
	})
	t.Run("from PARKED", func(t *testing.T) {
		t.Parallel()
		var j journal
		b := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
			if run.Operation.Attempt == 1 && !strings.HasPrefix(run.Command.ID(), "next") {
				return operation.Reply{}, throttledFor(2)
			}
			return j.perform(ctx, run)
		})
		for name, c := range laterTypes {
			b.publish(on(name, command(name, valid)))
			b.publish(on(name, command("next of "+name, valid)))
			b.until("it waits", func() bool { return b.parked(event.Token(name)) == 2 })
			b.ofLaterVersion(b.subject(name), c.state)
		}
		b.wantLaterTypes(&j)
		b.nothingParked()
	})
}

func (b *env) wantLaterTypes(j *journal) {
	b.Helper()
	var letters uint64
	for name, c := range laterTypes {
		b.outcome("next of " + name)
		if c.reason != "" {
			letters++
			if l := b.deadWhere("of "+name, func(l event.DeadLetter) bool { return l.ID == name }); l.Reason != c.reason || l.Stream != topology.StreamCommands || l.Type != event.TypeDelegationChange {
				b.Errorf("%s: %+v", name, l)
			}
		}
		if c.outcome != "" {
			if e := b.outcome(name); e.Type() != c.outcome {
				b.Errorf("%s: %s", name, e)
			}
		}
		if got := j.count(name); got != c.calls {
			b.Errorf("%s: %d calls, want %d", name, got, c.calls)
		}
	}
	if n := b.letters(); n != letters {
		b.Errorf("%d dead letters, want %d", n, letters)
	}
}

// TestAHeaderSteersNoRedelivery: when a message comes back is ours to say, not its publisher's.
func TestAHeaderSteersNoRedelivery(t *testing.T) {
	t.Parallel()
	var j journal
	b := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		if strings.HasPrefix(run.Command.ID(), "fails") && run.Operation.Attempt < 3 {
			return operation.Reply{}, &failure.Error{Kind: failure.Unavailable, Text: "not now"}
		}
		return j.perform(ctx, run)
	})
	steers := func(delay string, m *nats.Msg) *nats.Msg {
		if delay != "" {
			m.Header["mailwright-retry-after"] = []string{delay}
			m.Header["Mailwright-Retry-After"] = []string{delay}
		}
		return m
	}
	began := time.Now()
	delays := []string{"", "0s", "87600h"}
	for _, delay := range delays {
		fails, unread := on("fails"+delay, command("fails"+delay, valid)), on("unread"+delay, command("unread"+delay, valid))
		b.foreign(resultsOf(unread), nil, `{"hello":"there"}`)
		b.publish(steers(delay, unread))
		b.publish(on("unread"+delay, command("next"+delay, valid)))
		b.publish(steers(delay, fails))
		b.publish(on("other"+delay, command("other"+delay, valid)))
	}
	for _, delay := range delays {
		b.outcome("other" + delay) // while the command of another key comes back again and again
		b.outcome("fails" + delay)
		if j.count("next"+delay) > 0 {
			t.Errorf("%q: the key went on before its first command was given up", delay)
		}
	}
	for _, delay := range delays {
		if l := b.deadWhere(delay, func(l event.DeadLetter) bool { return l.ID == "unread"+delay }); l.Reason != operation.RecordUnreadable {
			t.Errorf("%q: %+v", delay, l)
		}
		if took := time.Since(began); took < 5*time.Second { // five deliveries, with pauses of 7.5 s together
			t.Errorf("%q: given up after %v", delay, took)
		}
		b.outcome("next" + delay)
	}
	if n := b.letters(); n != uint64(len(delays)) {
		t.Errorf("%d dead letters", n)
	}
}

// TestAnOperationWhoseRecordCanNotBeReadIsNotCancelled, and the cancel says why.
func TestAnOperationWhoseRecordCanNotBeReadIsNotCancelled(t *testing.T) {
	t.Parallel()
	var j journal
	b := setup(t, j.perform)
	b.foreign(resultsOf(command("1", valid)), nil, `{"hello":"there"}`)
	b.publish(on("cancel", cancelOf("cancel", "1")))
	e := b.outcome("cancel")
	var data event.FailedData
	if err := e.DataAs(&data); err != nil || data.Failure.Kind != string(failure.Refused) || !strings.Contains(data.Failure.Text, "can not be read") || strings.Contains(data.Failure.Text, "hello") {
		t.Errorf("%s %s %v", e.Type(), e.Data(), err)
	}
}

// TestAForeignWakeUpDoesNoHarm, whatever is in it.
func TestAForeignWakeUpDoesNoHarm(t *testing.T) {
	t.Parallel()
	var j journal
	b := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "waits" {
			j.add("waits")
			return operation.Reply{}, throttledFor(3600)
		}
		return j.perform(ctx, run)
	})
	b.publish(on("elsewhere", command("waits", valid)))
	b.publish(command("settled", valid))
	b.outcome("settled")
	b.until("it waits", func() bool { return b.parked("elsewhere") == 1 })
	reference := string(b.messagesOn(topology.StreamParked, topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: b.domain, Key: "elsewhere"}))[0].Data)
	settled, _ := topology.ParseCommandSubject(b.stored(2).Subject)
	for i, body := range []string{"", "nonsense", "{}", `{"sequence":"x"}`, `{"sequence":1}`, `{"sequence":2}`, `{"sequence":4000000000}`, reference, `[` + reference + `]`} {
		b.foreign(topology.WakeSubject(settled), nil, body)
		id := fmt.Sprint("after", i)
		b.publish(command(id, valid))
		if e := b.outcome(id); e.Type() != event.TypeDelegationChanged {
			t.Errorf("%q: %s", body, e)
		}
	}
	strange := topology.WakeSubject(topology.Address{Tenant: "*", Domain: b.domain, Partition: 1, Key: "*"})
	b.foreign(strange, nil, "")
	b.deadWhere("of the subject", func(l event.DeadLetter) bool {
		return l.Reason == operation.Unreadable && l.Subject == strange && l.Stream == topology.StreamParked
	})
	b.until("the key's queue is empty", func() bool { return b.parked("alex") == 0 })
	b.wantHistory("waits", "delegation.waiting")
	if j.count("waits") != 1 || j.count("settled") != 1 || b.parked("elsewhere") != 1 {
		t.Errorf("carried out %v, %d parked", j.list(), b.parked("elsewhere"))
	}
}

// TestWhatIsNoReferenceIsTakenOutOfTheQueue, with a dead letter: the key's commands go on.
func TestWhatIsNoReferenceIsTakenOutOfTheQueue(t *testing.T) {
	t.Parallel()
	var j journal
	b := setupStreams(t, event.DomainDelegation)
	key := topology.Address{Tenant: "contoso", Domain: b.domain, Key: "alex"}
	bodies := []string{"", "nonsense", "{}", `{"sequence":0}`, "\xff"}
	for _, body := range bodies {
		b.foreign(topology.ParkedSubject(key), nil, body)
	}
	b.publish(command("1", valid))
	b.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform})
	b.outcome("1")
	b.nothingParked()
	stream := b.stream(topology.StreamDead)
	if n := stream.CachedInfo().State.Msgs; n != uint64(len(bodies)) || !slices.Equal(j.list(), []string{"1"}) {
		t.Errorf("%d dead letters, carried out %v", n, j.list())
	}
	if l := b.dead(operation.Unreadable); l.Stream != topology.StreamParked || l.Subject != topology.ParkedSubject(key) || l.Tenant != "contoso" {
		t.Errorf("%+v", l)
	}
	for _, m := range b.messagesOn(topology.StreamDead, topology.DeadSubject("contoso", b.domain, "")) {
		e, err := event.Decode(m.Header, m.Data)
		if faults := event.Check(e); err != nil || len(faults) > 0 {
			t.Errorf("%v %v", err, faults)
		}
	}
}
