package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

const (
	// otherTenant is configured as [stack.SandboxTenant] is.
	otherTenant = "fabrikam"
	// otherSource publishes commands of the sandbox's tenant, too, and is none of its operators.
	otherSource = "/another-publisher"
	// dueAfter is the delay of a scheduled command that is carried out during the run.
	dueAfter = 8 * time.Second
	// cancelAfter is when others try to cancel a scheduled command: its record says by then that it
	// waits.
	cancelAfter = 2 * time.Second
	// notDue is a delay that is longer than any run.
	notDue = 20 * 24 * time.Hour
)

// delayedMessage is a message to publish at a later time.
type delayedMessage struct {
	at      time.Time
	publish func(ctx context.Context) error
}

// publishDelayed publishes the delayed messages whose time has come; with all set, it waits for the
// others and publishes them, too.
func (p *publisher) publishDelayed(ctx context.Context, all bool) error {
	for len(p.delayed) > 0 {
		next := p.delayed[0]
		if wait := time.Until(next.at); wait > 0 {
			if !all {
				return nil
			}
			pause(ctx, wait)
		}
		p.delayed = p.delayed[1:]
		if err := next.publish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// publishCrossing publishes commands that concern another tenant or another publisher, one kind
// after another.
func (p *publisher) publishCrossing(ctx context.Context, i int) error {
	kinds := []func(context.Context, int) error{
		p.publishTwins,
		p.publishDueSoon,
		p.cancelOfAnotherTenant,
		p.cancelOfAnotherSource,
		p.publishNotDue,
		p.publishOtherTenantID,
		p.publishAfterLaterVersion,
	}
	return kinds[(i/crossEvery)%len(kinds)](ctx, i)
}

// unorderedCreate makes a create on a key of the workload. The order of the key does not bind it.
func (p *publisher) unorderedCreate(tenant, id string, i int) (*nats.Msg, check.Command) {
	p.unorderedNumber++
	k := &commandKinds[0]
	data, mark := k.command(p.scenario, firstUnorderedNumber+p.unorderedNumber, i%p.scenario.Keys, 0)
	key := fmt.Sprintf("%s-%s-%d", k.domain, k.call, i%p.scenario.Keys)
	c := check.Command{
		OperationID:   event.OperationID(tenant, source, id),
		Key:           key,
		Writes:        true,
		NotRepeatable: true,
		Unordered:     true,
	}
	if tenant != stack.SandboxTenant {
		c.Key = tenant + "/" + key
	}
	p.scenario.operationOfMark[k.vendor+" "+k.call+" "+mark] = c.OperationID
	return messageOf(tenant, k.domain, key, id, k.eventType, data), c
}

// send publishes a command and notes it.
func (p *publisher) send(ctx context.Context, m *nats.Msg, c check.Command) error {
	if _, err := p.scenario.store(ctx, m); err != nil {
		return err
	}
	c.Published = time.Now()
	p.scenario.mu.Lock()
	defer p.scenario.mu.Unlock()
	p.scenario.evidence.Commands = append(p.scenario.evidence.Commands, c)
	return nil
}

// publishTwins publishes two commands of the same source and id in two tenants.
func (p *publisher) publishTwins(ctx context.Context, i int) error {
	id := fmt.Sprint("twin-", i)
	var pair [2]string
	for at, tenant := range []string{stack.SandboxTenant, otherTenant} {
		m, c := p.unorderedCreate(tenant, id, i)
		m.Header.Set(nats.MsgIdHdr, tenant+"-"+id)
		if err := p.send(ctx, m, c); err != nil {
			return err
		}
		pair[at] = c.OperationID
	}
	p.scenario.evidence.Twins = append(p.scenario.evidence.Twins, pair)
	p.scenario.countFault(sameID)
	return nil
}

// publishDueSoon publishes a command that is due during the run.
func (p *publisher) publishDueSoon(ctx context.Context, i int) error {
	_, err := p.schedule(ctx, fmt.Sprint("due-", i), i)
	return err
}

// schedule publishes a command that is due soon. It has the headers that JetStream sets on a
// message read from a stream. They name another message, and the service must ignore them.
func (p *publisher) schedule(ctx context.Context, id string, i int) (check.Command, error) {
	m, c := p.unorderedCreate(stack.SandboxTenant, id, i)
	c.NotBefore = time.Now().Add(dueAfter).UTC().Truncate(time.Second)
	m.Header.Set("ce-notbefore", c.NotBefore.Format(time.RFC3339))
	m.Header.Set("Nats-Stream", topology.StreamEvents)
	m.Header.Set("Nats-Subject", topology.CommandSubject(otherTenant, event.DomainDirectory, "stolen"))
	m.Header.Set("Nats-Sequence", "1")
	m.Header.Set("Nats-Time-Stamp", time.Unix(0, 0).UTC().Format(time.RFC3339Nano))
	p.scenario.countFault(scheduledSoon)
	return c, p.send(ctx, m, c)
}

// cancelOfAnotherTenant publishes a cancel of another tenant, with the source of the waiting
// command.
func (p *publisher) cancelOfAnotherTenant(ctx context.Context, i int) error {
	return p.tryCancel(ctx, i, "a cancel of another tenant", otherTenant, source)
}

// cancelOfAnotherSource publishes a cancel of the same tenant, with another source.
func (p *publisher) cancelOfAnotherSource(ctx context.Context, i int) error {
	return p.tryCancel(ctx, i, "a cancel of another source", stack.SandboxTenant, otherSource)
}

func (p *publisher) tryCancel(ctx context.Context, i int, what, tenant, from string) error {
	target, err := p.schedule(ctx, fmt.Sprint("target-", i), i)
	if err != nil {
		return err
	}
	p.delayed = append(p.delayed, delayedMessage{time.Now().Add(cancelAfter), func(ctx context.Context) error {
		id := fmt.Sprint("foreign-cancel-", i)
		m := cancelOf(tenant, id, target.OperationID)
		m.Header.Set("ce-source", from)
		return p.publishUnauthorized(ctx, m, check.UnauthorizedCommand{
			Kind:        what,
			OperationID: event.OperationID(tenant, from, id),
			Target:      target.OperationID,
		})
	}})
	return nil
}

// cancelOf makes a cancel of an operation, on a key of its own.
func cancelOf(tenant, id, operationID string) *nats.Msg {
	data := fmt.Sprintf(`{"operationId":%q}`, operationID)
	return messageOf(tenant, event.DomainDirectory, id, id, event.TypeOperationCancel, data)
}

// publishUnauthorized publishes a command for which its publisher has no right.
func (p *publisher) publishUnauthorized(ctx context.Context, m *nats.Msg, t check.UnauthorizedCommand) error {
	if _, err := p.scenario.store(ctx, m); err != nil {
		return err
	}
	p.scenario.evidence.Unauthorized = append(p.scenario.evidence.Unauthorized, t)
	p.scenario.countFault(unauthorizedCommand)
	return nil
}

// publishOtherTenantID publishes a command whose tenantid differs from the tenant of its subject.
func (p *publisher) publishOtherTenantID(ctx context.Context, i int) error {
	m, c := p.unorderedCreate(stack.SandboxTenant, fmt.Sprint("other-tenantid-", i), i)
	m.Header.Set("ce-tenantid", otherTenant)
	const kind = "a tenantid that is not the subject's tenant"
	return p.publishUnauthorized(ctx, m, check.UnauthorizedCommand{Kind: kind, OperationID: c.OperationID})
}

// publishNotDue publishes commands of two tenants on the same busy key that are not due during the
// run. The commands behind them must not wait. It does nothing in the second half of the workload,
// where too few commands would follow.
func (p *publisher) publishNotDue(ctx context.Context, i int) error {
	if i > p.scenario.Commands/2 {
		return nil
	}
	for _, tenant := range []string{stack.SandboxTenant, otherTenant} {
		m, c := p.unorderedCreate(tenant, fmt.Sprint("not-due-", i), i)
		m.Header.Set(nats.MsgIdHdr, tenant+"-"+m.Header.Get("ce-id"))
		c.NotBefore = time.Now().Add(notDue).UTC()
		c.Writes = false
		c.Want = string(event.StateCancelled)
		m.Header.Set("ce-notbefore", c.NotBefore.Format(time.RFC3339))
		if _, err := p.scenario.store(ctx, m); err != nil {
			return err
		}
		c.Published = time.Now()
		p.scenario.scheduled = append(p.scenario.scheduled, c)
		p.scenario.countFault(scheduledLater)
	}
	return nil
}

// cancelScheduled cancels the commands that are not due, as their own source, when all others have
// their outcomes.
func (s *Scenario) cancelScheduled(ctx context.Context) error {
	for i, c := range s.scheduled {
		id := fmt.Sprint("cancel-", i)
		tenant := stack.SandboxTenant
		if strings.HasPrefix(c.Key, otherTenant+"/") {
			tenant = otherTenant
		}
		m := cancelOf(tenant, id, c.OperationID)
		cancel := check.Command{OperationID: event.OperationID(tenant, source, id), Key: id, Unordered: true}
		if err := s.publisher.send(ctx, m, cancel); err != nil {
			return err
		}
		s.evidence.Commands = append(s.evidence.Commands, c)
		s.evidence.Scheduled = append(s.evidence.Scheduled, c.OperationID)
	}
	s.scheduled = nil
	return nil
}

// publishAfterLaterVersion publishes an event of a later version, which says that the operation
// waits, and then its command. This version must carry it out.
func (p *publisher) publishAfterLaterVersion(ctx context.Context, i int) error {
	id := fmt.Sprint("later-version-", i)
	m, c := p.unorderedCreate(stack.SandboxTenant, id, i)
	command, err := event.ReadCommand(m.Header, m.Data)
	if err != nil {
		return err
	}
	known := event.OperationData{
		CommandType: command.Event.Type(),
		Key:         c.Key,
		ReceivedAt:  time.Now().UTC(),
		Attempt:     1,
		Fingerprint: command.Fingerprint(),
	}
	if err := p.forge(ctx, id, eventOfLaterVersion(id, known)); err != nil {
		return err
	}
	return p.send(ctx, m, c)
}
