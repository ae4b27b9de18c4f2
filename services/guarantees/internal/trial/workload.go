package trial

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

const (
	source = "/guarantees"
	// malformedEvery and twiceEvery are how often a malformed message and a command under a second
	// key come by, and acrossEvery one that concerns another tenant or publisher.
	malformedEvery, twiceEvery, acrossEvery = 24, 12, 17
	// tail is how fast commands follow when all of the plan are published and the storm is not
	// over.
	tail = 50 * time.Millisecond
)

// sent is a command that was published, as it may be sent again.
type sent struct {
	msg         *nats.Msg
	operationID string
	sequence    uint64
	at          time.Time
}

// publisher numbers the commands of each kind and key.
type publisher struct {
	*Trial
	made    map[*kind]int
	numbers map[string]int
	// later are messages that follow others after a while.
	later []later
	// sideNumber numbers the commands that stand in no order.
	sideNumber int
}

// Publish publishes the whole workload, spread over the keys, and goes on until the storm is over.
// Now and then comes a create that is published twice at once under two keys, and a malformed
// message.
func (t *Trial) Publish(ctx context.Context, stormed <-chan struct{}) error {
	pace := t.pace()
	tick := time.NewTimer(0)
	defer tick.Stop()
	began := time.Now()
	for i := 0; ; i++ {
		over := t.NoFaults
		if i < t.Commands {
			tick.Reset(time.Until(began.Add(time.Duration(i) * pace)))
		} else {
			tick.Reset(tail)
		}
		if !over {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-stormed:
				over = true
			case <-tick.C:
			}
		}
		if i >= t.Commands && over {
			return t.publishing.follow(ctx, true)
		}
		if err := t.publishing.turn(ctx, i); err != nil {
			return err
		}
	}
}

// turn publishes command i, and what comes by beside it.
func (p *publisher) turn(ctx context.Context, i int) error {
	if err := p.publish(ctx, i); err != nil {
		return err
	}
	if i%malformedEvery == malformedEvery-1 {
		if err := p.malformed(ctx, i/malformedEvery); err != nil {
			return err
		}
	}
	if i%acrossEvery == acrossEvery-1 && slices.Contains(p.services(), directoryService) {
		if err := p.across(ctx, i); err != nil {
			return err
		}
	}
	return p.follow(ctx, false)
}

// pace spreads the workload over the storm: about two seconds a fault, or one in a hurry.
func (t *Trial) pace() time.Duration {
	if t.NoFaults {
		return 0
	}
	fault := 3 * time.Second
	if t.Hurry {
		fault = time.Second
	}
	return (walkTime + time.Duration(max(t.Plan.Kills, len(deck)))*fault) / time.Duration(t.Commands)
}

// next makes command i and takes note of it.
func (p *publisher) next(i int, k *kind) (*nats.Msg, check.Command) {
	keys := k.keys
	if keys == 0 {
		keys = p.Keys
	}
	key := p.made[k] % keys
	p.made[k]++
	name := fmt.Sprintf("%s-%s-%d", k.domain, k.call, key)
	p.numbers[name]++
	c := check.Command{
		OperationID: event.OperationID(stack.SandboxTenant, source, fmt.Sprint(i)), Key: name, Number: p.numbers[name],
		Writes: k.call != "", Once: k.once, Twice: k.once && i%twiceEvery == 3,
	}
	data, mark := k.command(p.Trial, i, key, c.Number)
	if c.Writes {
		p.marks[k.vendor+" "+k.call+" "+mark] = c.OperationID
	}
	return message(k.domain, name, fmt.Sprint(i), k.eventType, data), c
}

func (p *publisher) publish(ctx context.Context, i int) error {
	k := p.kindOf(i)
	msg, c := p.next(i, k)
	if c.Twice {
		again := message(k.domain, "second-"+c.Key, fmt.Sprint(i), k.eventType, string(msg.Data))
		again.Header.Set(jetstream.MsgIDHeader, "second-"+fmt.Sprint(i))
		if _, err := p.store(ctx, again); err != nil {
			return err
		}
		p.injected(twoKeys)
	}
	ack, err := p.store(ctx, msg)
	if err != nil {
		return err
	}
	c.Published = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evidence.Commands = append(p.evidence.Commands, c)
	if i%twiceEvery == 0 {
		p.sent = append(p.sent, sent{msg, c.OperationID, ack.Sequence, time.Now()})
	}
	return nil
}

// message makes a command.
func message(domain event.Domain, key, id, eventType, data string) *nats.Msg {
	return messageOf(stack.SandboxTenant, domain, key, id, eventType, data)
}

func messageOf(tenant string, domain event.Domain, key, id, eventType, data string) *nats.Msg {
	return &nats.Msg{Subject: topology.CommandSubject(tenant, domain, key), Data: []byte(data), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {source}, "ce-type": {eventType}, "content-type": {"application/json"}, jetstream.MsgIDHeader: {id},
	}}
}

// password is a secret of every command that has one; it must be found nowhere. The seed is written
// in letters: a vendor refuses a password that holds a user's name, and names are numbered.
func (t *Trial) password() string {
	letters := strings.Map(func(digit rune) rune { return digit - '0' + 'a' }, fmt.Sprint(t.Seed))
	return "Zebra-" + letters + "-Secret"
}

// store stores a message as a careful publisher does: again and again while JetStream is away.
func (t *Trial) store(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, error) {
	for {
		ack, err := t.js.PublishMsg(ctx, m)
		if err == nil {
			return ack, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("publish on %s: %w", m.Subject, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// prepare has what the commands of the plan need at the vendors.
func (t *Trial) prepare(ctx context.Context) error {
	if !slices.Contains(t.services(), "mailbox-svc") {
		return nil
	}
	for i := range t.Commands + spare {
		if k := t.kindOf(i); k.prepare != nil {
			if err := k.prepare(ctx, t, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// resend sends commands again whose outcomes stand, and which JetStream has forgotten by their
// message ids, as it has those of yesterday.
func (t *Trial) resend(ctx context.Context) error {
	t.mu.Lock()
	candidates := t.sent
	t.mu.Unlock()
	for _, at := range t.rng.Perm(len(candidates)) {
		s := candidates[at]
		if time.Since(s.at) < 2*duplicates || !t.settled(ctx, s.operationID) {
			continue
		}
		ack, err := t.store(ctx, s.msg)
		if err != nil {
			return err
		}
		t.mu.Lock()
		t.evidence.Resent = append(t.evidence.Resent, check.Resent{OperationID: s.operationID, First: s.sequence, Second: ack.Sequence})
		enough := len(t.evidence.Resent)%resentAtOnce == 0
		t.mu.Unlock()
		t.injected(dayLater)
		if enough {
			return nil
		}
	}
	return nil
}

// resentAtOnce is how many commands are sent again at a time.
const resentAtOnce = 5

// settled reads whether an operation has its outcome.
func (t *Trial) settled(ctx context.Context, id string) bool {
	for _, k := range kinds {
		stream, err := t.js.Stream(ctx, topology.StreamEvents)
		if err != nil {
			return false
		}
		m, err := stream.GetLastMsgForSubject(ctx, topology.EventSubject(stack.SandboxTenant, k.domain, id))
		if err != nil {
			continue
		}
		v, err := event.Decode(m.Header, m.Data)
		if err != nil {
			return false
		}
		state, _ := event.StateOf(v)
		return state.Terminal()
	}
	return false
}
