package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/testkit"
)

// commandTimeout is far longer than a command of the tables takes.
const commandTimeout = 20 * time.Second

// result is the last event of an operation.
type result struct {
	header nats.Header
	data   []byte
}

// state is the last word of the event's type before its version; "" without an event.
func (r result) state() string {
	parts := strings.Split(r.header.Get("ce-type"), ".")
	if len(parts) < 2 {
		return ""
	}
	return parts[len(parts)-2]
}

// warnings are what the result tells its publisher about the command.
func (r result) warnings() string {
	var data struct {
		Operation struct{ Warnings []struct{ Text string } }
	}
	_ = json.Unmarshal(r.data, &data) // no data, no warnings
	return fmt.Sprint(data.Operation.Warnings)
}

// letter is a dead letter about a message of COMMANDS.
type letter struct {
	Reason, Detail, Stream string
	Sequence               uint64
	subject                string
}

// publisher is a publisher of commands that reads what becomes of them.
type publisher struct {
	system *testkit.System

	mu      sync.Mutex
	letters map[uint64]letter
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{system: start(t), letters: map[uint64]letter{}}
	consumer, err := p.system.JetStream.OrderedConsumer(t.Context(), "DEAD", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"mailwright.dead.>"}})
	if err != nil {
		t.Fatal(err)
	}
	reading, err := consumer.Consume(p.read)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reading.Stop)
	return p
}

func (p *publisher) read(m jetstream.Msg) {
	l := letter{subject: m.Subject()}
	if json.Unmarshal(m.Data(), &l) != nil || l.Stream != "COMMANDS" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters[l.Sequence] = l
}

func (p *publisher) letter(sequence uint64) (letter, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.letters[sequence]
	return l, ok
}

// last reads the last message of a subject by JetStream's direct API, a request that every NATS
// client can make.
func (p *publisher) last(stream, subject string) (result, error) {
	m, err := p.system.NATS.Request("$JS.API.DIRECT.GET."+stream+"."+subject, nil, 5*time.Second)
	if err != nil {
		return result{}, err
	}
	if m.Header.Get("Status") == "404" {
		return result{}, nil
	}
	return result{m.Header, m.Data}, nil
}

// results is the subject on which the publisher of a command finds its outcome.
func (m *message) results() string {
	return "mailwright.evt." + m.tenant + ".directory." + operationID(m.tenant, m.source, m.id, m.dryRun)
}

// states are the verdicts that a result's type tells.
var states = map[string]string{"created": carriedOut, "planned": planned, "rejected": rejected, "failed": failed, "waiting": waits}

// await reads what becomes of a stored command.
func (p *publisher) await(ctx context.Context, m *message, sequence uint64) (verdict, result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	for {
		if l, ok := p.letter(sequence); ok {
			return verdict{dead, l.Reason, l.Detail}, result{}, l.placed(m)
		}
		r, err := p.last("EVENTS", m.results())
		if err != nil {
			return verdict{}, r, err
		}
		if v := r.verdict(); v.state != "" && (v.state != waits || v.reason == "scheduled") {
			return v, r, nil
		}
		select {
		case <-ctx.Done():
			return verdict{}, r, fmt.Errorf("nothing became of it; the last event is %q: %s", r.header.Get("ce-type"), r.data)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// verdict is what an event says; its state is "" where an operation goes on.
func (r result) verdict() verdict {
	var data struct {
		Reason  string
		Failure struct{ Code string }
		Faults  []struct{ Field, Problem string }
	}
	_ = json.Unmarshal(r.data, &data) // another form says nothing
	v := verdict{state: states[r.state()], reason: data.Reason + data.Failure.Code}
	for i, f := range data.Faults {
		if i > 0 {
			v.why += "; "
		}
		v.why += f.Field + " " + f.Problem
	}
	return v
}

// placed says whether a dead letter stands where its publisher looks.
func (l letter) placed(m *message) error {
	own := "mailwright.dead." + m.tenant + ".directory." + operationID(m.tenant, m.source, m.id, m.dryRun)
	if l.subject != own && l.subject != "mailwright.dead."+m.tenant+".directory.-" {
		return fmt.Errorf("the dead letter is on %s", l.subject)
	}
	return nil
}

// creates counts the calls that would have created an object of this name.
func (p *publisher) creates(ctx context.Context, name string) (n int, err error) {
	calls, err := p.system.Vendors.Calls(ctx, "adaxes", "create-object")
	for _, c := range calls {
		if strings.HasPrefix(strings.ToLower(c.Target), "cn="+name+",") {
			n++
		}
	}
	return n, err
}
