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
	// malformedEvery: a malformed message follows every so many commands.
	malformedEvery = 24
	// twiceEvery: one of so many commands is published under a second key, too.
	twiceEvery = 12
	// crossEvery: a command that concerns another tenant or publisher follows every so many
	// commands.
	crossEvery = 17
	// tailInterval is the time between two commands beyond the plan. They are published until no
	// more faults are injected.
	tailInterval = 50 * time.Millisecond
)

// sentCommand is a published command that may be published again.
type sentCommand struct {
	msg         *nats.Msg
	operationID string
	sequence    uint64
	at          time.Time
}

// publisher publishes the workload and numbers its commands by kind and key.
type publisher struct {
	scenario   *Scenario
	madeOfKind map[*commandKind]int
	lastNumber map[string]int
	// delayed are messages to publish later, in the order of their times.
	delayed []delayedMessage
	// unorderedNumber counts the unordered commands.
	unorderedNumber int
}

// Publish publishes the whole workload, spread over the keys, and goes on until no more faults are
// injected. In between it publishes malformed messages, and creates that are published under two
// keys at once.
func (s *Scenario) Publish(ctx context.Context, faultsEnded <-chan struct{}) error {
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
			case <-faultsEnded:
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

// publishWithOthers publishes command i, and the other messages that are due after it.
func (p *publisher) publishWithOthers(ctx context.Context, i int) error {
	if err := p.publish(ctx, i); err != nil {
		return err
	}
	if i%malformedEvery == malformedEvery-1 {
		if err := p.publishMalformed(ctx, i/malformedEvery); err != nil {
			return err
		}
	}
	if i%crossEvery == crossEvery-1 && slices.Contains(p.scenario.services(), directoryService) {
		if err := p.publishCrossing(ctx, i); err != nil {
			return err
		}
	}
	return p.publishDelayed(ctx, false)
}

// pace is the time between two commands. It spreads the workload over the time of the faults: three
// seconds each, or one with FastKills.
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

// next makes command i and notes how its effect will look in the journal.
func (p *publisher) next(i int, k *commandKind) (*nats.Msg, check.Command) {
	keys := k.keys
	if keys == 0 {
		keys = p.scenario.Keys
	}
	key := p.madeOfKind[k] % keys
	p.madeOfKind[k]++
	name := fmt.Sprintf("%s-%s-%d", k.domain, k.call, key)
	p.lastNumber[name]++
	c := check.Command{
		OperationID: operationOf(fmt.Sprint(i)), Key: name, Number: p.lastNumber[name],
		Writes: k.call != "", NotRepeatable: k.notRepeatable, Unordered: k.notRepeatable && i%twiceEvery == 3,
	}
	data, mark := k.command(p.scenario, i, key, c.Number)
	if c.Writes {
		p.scenario.operationOfMark[k.vendor+" "+k.call+" "+mark] = c.OperationID
	}
	return message(k.domain, name, fmt.Sprint(i), k.eventType, data), c
}

func (p *publisher) publish(ctx context.Context, i int) error {
	k := p.scenario.kindOf(i)
	msg, c := p.next(i, k)
	if c.Unordered {
		again := message(k.domain, "second-"+c.Key, fmt.Sprint(i), k.eventType, string(msg.Data))
		again.Header.Set(jetstream.MsgIDHeader, "second-"+fmt.Sprint(i))
		if _, err := p.scenario.store(ctx, again); err != nil {
			return err
		}
		p.scenario.countFault(twoKeys)
	}
	ack, err := p.scenario.store(ctx, msg)
	if err != nil {
		return err
	}
	c.Published = time.Now()
	p.scenario.mu.Lock()
	defer p.scenario.mu.Unlock()
	p.scenario.evidence.Commands = append(p.scenario.evidence.Commands, c)
	if i%twiceEvery == 0 {
		p.scenario.sent = append(p.scenario.sent, sentCommand{msg, c.OperationID, ack.Sequence, time.Now()})
	}
	return nil
}

// message makes a command of the sandbox's tenant.
func message(domain event.Domain, key, id, eventType, data string) *nats.Msg {
	return messageOf(stack.SandboxTenant, domain, key, id, eventType, data)
}

func messageOf(tenant string, domain event.Domain, key, id, eventType, data string) *nats.Msg {
	return &nats.Msg{Subject: topology.CommandSubject(tenant, domain, key), Data: []byte(data), Header: nats.Header{
		"ce-specversion":      {"1.0"},
		"ce-id":               {id},
		"ce-source":           {source},
		"ce-type":             {eventType},
		"content-type":        {"application/json"},
		jetstream.MsgIDHeader: {id},
	}}
}

// password is the secret of every command that has one. It must be found nowhere afterwards. The
// seed is written in letters: a vendor refuses a password that contains the name of the user, and
// names contain numbers.
func (s *Scenario) password() string {
	letters := strings.Map(func(digit rune) rune { return digit - '0' + 'a' }, fmt.Sprint(s.Seed))
	return "Zebra-" + letters + "-Secret"
}

// store publishes a message, again and again while JetStream does not answer.
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

// prepare creates at the vendors what the commands of the plan need.
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

// resend publishes some commands again that have their outcomes. JetStream no longer remembers
// their message ids, as if they had been published the day before.
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
		resent := check.Resent{OperationID: command.operationID, First: command.sequence, Second: ack.Sequence}
		s.evidence.Resent = append(s.evidence.Resent, resent)
		enough := len(s.evidence.Resent)%maxResentAtOnce == 0
		s.mu.Unlock()
		s.countFault(dayLater)
		if enough {
			return nil
		}
	}
	return nil
}

// maxResentAtOnce is how many commands resend publishes.
const maxResentAtOnce = 5

// hasOutcome reads from EVENTS whether an operation has its outcome.
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
