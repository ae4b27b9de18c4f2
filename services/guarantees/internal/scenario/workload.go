package scenario

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
	malformedEvery, twiceEvery, crossEvery = 24, 12, 17
	// tailInterval is how fast commands follow when all of the plan are published and the storm is not
	// over.
	tailInterval = 50 * time.Millisecond
)

// sentCommand is a command that was published, as it may be sent again.
type sentCommand struct {
	msg         *nats.Msg
	operationID string
	sequence    uint64
	at          time.Time
}

// publisher numbers the commands of each kind and key.
type publisher struct {
	*Scenario
	madeOfKind map[*commandKind]int
	lastNumber map[string]int
	// delayed are messages that follow others after a while.
	delayed []delayedMessage
	// unorderedNumber numbers the commands that stand in no order.
	unorderedNumber int
}

// Publish publishes the whole workload, spread over the keys, and goes on until the storm is over.
// Now and then comes a create that is published twice at once under two keys, and a malformed
// message.
func (s *Scenario) Publish(ctx context.Context, stormed <-chan struct{}) error {
	pace := s.pace()
	tick := time.NewTimer(0)
	defer tick.Stop()
	began := time.Now()
	for i := 0; ; i++ {
		over := s.NoFaults
		if i < s.Commands {
			tick.Reset(time.Until(began.Add(time.Duration(i) * pace)))
		} else {
			tick.Reset(tailInterval)
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
		if i >= s.Commands && over {
			return s.publisher.publishDelayed(ctx, true)
		}
		if err := s.publisher.publishWithOthers(ctx, i); err != nil {
			return err
		}
	}
}

// publishWithOthers publishes command i, and what comes by beside it.
func (p *publisher) publishWithOthers(ctx context.Context, i int) error {
	if err := p.publish(ctx, i); err != nil {
		return err
	}
	if i%malformedEvery == malformedEvery-1 {
		if err := p.publishMalformed(ctx, i/malformedEvery); err != nil {
			return err
		}
	}
	if i%crossEvery == crossEvery-1 && slices.Contains(p.services(), directoryService) {
		if err := p.publishCrossing(ctx, i); err != nil {
			return err
		}
	}
	return p.publishDelayed(ctx, false)
}

// pace spreads the workload over the storm: about two seconds a fault, or one in a hurry.
func (s *Scenario) pace() time.Duration {
	if s.NoFaults {
		return 0
	}
	perFault := 3 * time.Second
	if s.FastKills {
		perFault = time.Second
	}
	return (stepKillsDuration + time.Duration(max(s.Plan.Kills, len(faults)))*perFault) / time.Duration(s.Commands)
}

// next makes command i and takes note of it.
func (p *publisher) next(i int, k *commandKind) (*nats.Msg, check.Command) {
	keys := k.keys
	if keys == 0 {
		keys = p.Keys
	}
	key := p.madeOfKind[k] % keys
	p.madeOfKind[k]++
	name := fmt.Sprintf("%s-%s-%d", k.domain, k.call, key)
	p.lastNumber[name]++
	c := check.Command{
		OperationID: event.OperationID(stack.SandboxTenant, source, fmt.Sprint(i)), Key: name, Number: p.lastNumber[name],
		Writes: k.call != "", NotRepeatable: k.notRepeatable, Unordered: k.notRepeatable && i%twiceEvery == 3,
	}
	data, mark := k.command(p.Scenario, i, key, c.Number)
	if c.Writes {
		p.operationOfMark[k.vendor+" "+k.call+" "+mark] = c.OperationID
	}
	return message(k.domain, name, fmt.Sprint(i), k.eventType, data), c
}

func (p *publisher) publish(ctx context.Context, i int) error {
	k := p.kindOf(i)
	msg, c := p.next(i, k)
	if c.Unordered {
		again := message(k.domain, "second-"+c.Key, fmt.Sprint(i), k.eventType, string(msg.Data))
		again.Header.Set(jetstream.MsgIDHeader, "second-"+fmt.Sprint(i))
		if _, err := p.store(ctx, again); err != nil {
			return err
		}
		p.countFault(twoKeys)
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
		p.sent = append(p.sent, sentCommand{msg, c.OperationID, ack.Sequence, time.Now()})
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
func (s *Scenario) password() string {
	letters := strings.Map(func(digit rune) rune { return digit - '0' + 'a' }, fmt.Sprint(s.Seed))
	return "Zebra-" + letters + "-Secret"
}

// store stores a message as a careful publisher does: again and again while JetStream is away.
func (s *Scenario) store(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, error) {
	for {
		ack, err := s.js.PublishMsg(ctx, m)
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
func (s *Scenario) prepare(ctx context.Context) error {
	if !slices.Contains(s.services(), "mailbox-svc") {
		return nil
	}
	for i := range s.Commands + mixedBeyondPlan {
		if k := s.kindOf(i); k.prepare != nil {
			if err := k.prepare(ctx, s, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// resend sends commands again whose outcomes stand, and which JetStream has forgotten by their
// message ids, as it has those of yesterday.
func (s *Scenario) resend(ctx context.Context) error {
	s.mu.Lock()
	candidates := s.sent
	s.mu.Unlock()
	for _, at := range s.rng.Perm(len(candidates)) {
		command := candidates[at]
		if time.Since(command.at) < 2*duplicateDelay || !s.hasOutcome(ctx, command.operationID) {
			continue
		}
		ack, err := s.store(ctx, command.msg)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.evidence.Resent = append(s.evidence.Resent, check.Resent{OperationID: command.operationID, First: command.sequence, Second: ack.Sequence})
		enough := len(s.evidence.Resent)%maxResentAtOnce == 0
		s.mu.Unlock()
		s.countFault(dayLater)
		if enough {
			return nil
		}
	}
	return nil
}

// maxResentAtOnce is how many commands are sent again at a time.
const maxResentAtOnce = 5

// hasOutcome reads whether an operation has its outcome.
func (s *Scenario) hasOutcome(ctx context.Context, id string) bool {
	for _, k := range commandKinds {
		stream, err := s.js.Stream(ctx, topology.StreamEvents)
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
