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

// publishRaw puts a message that no service of ours writes on the subject of an operation's record.
func (env *env) publishRaw(subject string, header nats.Header, data string) {
	env.Helper()
	if _, err := env.js.PublishMsg(env.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(data)}); err != nil {
		env.Fatal(err)
	}
}

// ofLaterVersion writes the last event of a record once more, as one of a type that this version
// does not know.
func (env *env) ofLaterVersion(subject string, state event.State) {
	env.Helper()
	last, err := env.stream(topology.StreamEvents).GetLastMsgForSubject(env.Context(), subject)
	if err != nil {
		env.Fatal(err)
	}
	header := attributesOf(last.Header)
	header["ce-type"] = []string{event.Prefix + "delegation.pondered.v7"}
	delete(header, "ce-"+event.AttrState)
	if state != "" {
		header["ce-"+event.AttrState] = []string{string(state)}
	}
	env.publishRaw(subject, header, dueNow(env.T, last.Data))
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
		env := setupDomain(t, event.DomainDelegation, event.TypeDelegationChange, operation.Handler{
			Perform: func(context.Context, *operation.Attempt) (operation.Reply, error) {
				return operation.Reply{}, throttledFor(3600)
			},
		})
		for name, c := range laterTypes {
			env.publish(on(name, command(name, valid)))
			env.until("it waits", func() bool { return env.parked(event.Token(name)) == 1 })
			env.ofLaterVersion(env.subject(name), c.state)
		}
		env.stop()
		if err := env.stream(topology.StreamParked).Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name := range laterTypes {
			env.publish(on(name, command(name, valid)))
			env.publish(on(name, command("next of "+name, valid)))
		}
		var j journal
		env.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform})
		env.wantLaterTypes(&j)
	})
	t.Run("from PARKED", func(t *testing.T) {
		t.Parallel()
		var j journal
		env := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
			if run.Operation.Attempt == 1 && !strings.HasPrefix(run.Command.ID(), "next") {
				return operation.Reply{}, throttledFor(2)
			}
			return j.perform(ctx, run)
		})
		for name, c := range laterTypes {
			env.publish(on(name, command(name, valid)))
			env.publish(on(name, command("next of "+name, valid)))
			env.until("it waits", func() bool { return env.parked(event.Token(name)) == 2 })
			env.ofLaterVersion(env.subject(name), c.state)
		}
		env.wantLaterTypes(&j)
		env.nothingParked()
	})
}

func (env *env) wantLaterTypes(j *journal) {
	env.Helper()
	var deadLetters uint64
	for name, c := range laterTypes {
		env.outcome("next of " + name)
		if c.reason != "" {
			deadLetters++
			if l := env.deadWhere("of "+name, func(l event.DeadLetter) bool { return l.ID == name }); l.Reason != c.reason || l.Stream != topology.StreamCommands || l.Type != event.TypeDelegationChange {
				env.Errorf("%s: %+v", name, l)
			}
		}
		if c.outcome != "" {
			if e := env.outcome(name); e.Type() != c.outcome {
				env.Errorf("%s: %s", name, e)
			}
		}
		if got := j.count(name); got != c.calls {
			env.Errorf("%s: %d calls, want %d", name, got, c.calls)
		}
	}
	if n := env.deadLetters(); n != deadLetters {
		env.Errorf("%d dead letters, want %d", n, deadLetters)
	}
}

// TestAHeaderSteersNoRedelivery: when a message comes back is ours to say, not its publisher's.
func TestAHeaderSteersNoRedelivery(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
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
		env.publishRaw(resultsOf(unread), nil, `{"hello":"there"}`)
		env.publish(steers(delay, unread))
		env.publish(on("unread"+delay, command("next"+delay, valid)))
		env.publish(steers(delay, fails))
		env.publish(on("other"+delay, command("other"+delay, valid)))
	}
	for _, delay := range delays {
		env.outcome("other" + delay) // while the command of another key comes back again and again
		env.outcome("fails" + delay)
		if j.count("next"+delay) > 0 {
			t.Errorf("%q: the key went on before its first command was given up", delay)
		}
	}
	for _, delay := range delays {
		if l := env.deadWhere(delay, func(l event.DeadLetter) bool { return l.ID == "unread"+delay }); l.Reason != operation.RecordUnreadable {
			t.Errorf("%q: %+v", delay, l)
		}
		if took := time.Since(began); took < 5*time.Second { // five deliveries, with pauses of 7.5 s together
			t.Errorf("%q: given up after %v", delay, took)
		}
		env.outcome("next" + delay)
	}
	if n := env.deadLetters(); n != uint64(len(delays)) {
		t.Errorf("%d dead letters", n)
	}
}

// TestAnOperationWhoseRecordCannotBeReadIsNotCancelled, and the cancel says why.
func TestAnOperationWhoseRecordCannotBeReadIsNotCancelled(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, j.perform)
	env.publishRaw(resultsOf(command("1", valid)), nil, `{"hello":"there"}`)
	env.publish(on("cancel", cancelOf("cancel", "1")))
	e := env.outcome("cancel")
	var data event.FailedData
	if err := e.DataAs(&data); err != nil || data.Failure.Kind != string(failure.Refused) || !strings.Contains(data.Failure.Text, "can not be read") || strings.Contains(data.Failure.Text, "hello") {
		t.Errorf("%s %s %v", e.Type(), e.Data(), err)
	}
}

// TestAWakeUpFromElsewhereDoesNoHarm, whatever is in it.
func TestAWakeUpFromElsewhereDoesNoHarm(t *testing.T) {
	t.Parallel()
	var j journal
	env := setup(t, func(ctx context.Context, run *operation.Attempt) (operation.Reply, error) {
		if run.Command.ID() == "waits" {
			j.add("waits")
			return operation.Reply{}, throttledFor(3600)
		}
		return j.perform(ctx, run)
	})
	env.publish(on("elsewhere", command("waits", valid)))
	env.publish(command("ended", valid))
	env.outcome("ended")
	env.until("it waits", func() bool { return env.parked("elsewhere") == 1 })
	reference := string(env.messagesOn(topology.StreamParked, topology.ParkedSubject(topology.Address{Tenant: "contoso", Domain: env.domain, Key: "elsewhere"}))[0].Data)
	ended, _ := topology.ParseCommandSubject(env.stored(2).Subject)
	for i, body := range []string{"", "nonsense", "{}", `{"sequence":"x"}`, `{"sequence":1}`, `{"sequence":2}`, `{"sequence":4000000000}`, reference, `[` + reference + `]`} {
		env.publishRaw(topology.WakeSubject(ended), nil, body)
		id := fmt.Sprint("after", i)
		env.publish(command(id, valid))
		if e := env.outcome(id); e.Type() != event.TypeDelegationChanged {
			t.Errorf("%q: %s", body, e)
		}
	}
	strange := topology.WakeSubject(topology.Address{Tenant: "*", Domain: env.domain, Partition: 1, Key: "*"})
	env.publishRaw(strange, nil, "")
	env.deadWhere("of the subject", func(l event.DeadLetter) bool {
		return l.Reason == operation.Unreadable && l.Subject == strange && l.Stream == topology.StreamParked
	})
	env.until("the key's queue is empty", func() bool { return env.parked("alex") == 0 })
	env.wantHistory("waits", "delegation.waiting")
	if j.count("waits") != 1 || j.count("ended") != 1 || env.parked("elsewhere") != 1 {
		t.Errorf("carried out %v, %d parked", j.list(), env.parked("elsewhere"))
	}
}

// TestWhatIsNoReferenceIsRemovedFromTheQueue, with a dead letter: the key's commands go on.
func TestWhatIsNoReferenceIsRemovedFromTheQueue(t *testing.T) {
	t.Parallel()
	var j journal
	env := setupStreams(t, event.DomainDelegation)
	key := topology.Address{Tenant: "contoso", Domain: env.domain, Key: "alex"}
	bodies := []string{"", "nonsense", "{}", `{"sequence":0}`, "\xff"}
	for _, body := range bodies {
		env.publishRaw(topology.ParkedSubject(key), nil, body)
	}
	env.publish(command("1", valid))
	env.serve(event.TypeDelegationChange, operation.Handler{Perform: j.perform})
	env.outcome("1")
	env.nothingParked()
	stream := env.stream(topology.StreamDead)
	if n := stream.CachedInfo().State.Msgs; n != uint64(len(bodies)) || !slices.Equal(j.list(), []string{"1"}) {
		t.Errorf("%d dead letters, carried out %v", n, j.list())
	}
	if l := env.dead(operation.Unreadable); l.Stream != topology.StreamParked || l.Subject != topology.ParkedSubject(key) || l.Tenant != "contoso" {
		t.Errorf("%+v", l)
	}
	for _, m := range env.messagesOn(topology.StreamDead, topology.DeadSubject("contoso", env.domain, "")) {
		e, err := event.Decode(m.Header, m.Data)
		if faults := event.Check(e); err != nil || len(faults) > 0 {
			t.Errorf("%v %v", err, faults)
		}
	}
}
