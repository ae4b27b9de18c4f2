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
	// otherSource publishes for the first tenant too, and is none of its operators.
	otherSource = "/another-publisher"
	// dueAfter is when a command is due that is to be carried out during the run.
	dueAfter = 8 * time.Second
	// cancelAfter is when others try to cancel such a command: it is known to wait by then.
	cancelAfter = 2 * time.Second
	// publishNotDue is longer than any run.
	notDue = 20 * 24 * time.Hour
)

// delayed is a message that follows others after a while.
type delayedMessage struct {
	at      time.Time
	publish func(ctx context.Context) error
}

// publishDelayed publishes what is to follow by now; all of it, with the waits, where nothing else comes.
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

// publishCrossing publishes commands that concern another tenant or another publisher, by turns.
func (p *publisher) publishCrossing(ctx context.Context, i int) error {
	turns := []func(context.Context, int) error{
		p.publishTwins, p.publishDueSoon, p.cancelOfAnotherTenant, p.cancelOfAnotherSource, p.publishNotDue, p.publishOtherTenantID, p.publishAfterLaterVersion,
	}
	return turns[(i/crossEvery)%len(turns)](ctx, i)
}

// unorderedCreate makes a create of a number of its own, on a key that the workload uses too. It stands in no
// order.
func (p *publisher) unorderedCreate(tenant, id string, i int) (*nats.Msg, check.Command) {
	p.unorderedNumber++
	k := &commandKinds[0]
	data, mark := k.command(p.Scenario, firstUnorderedNumber+p.unorderedNumber, i%p.Keys, 0)
	key := fmt.Sprintf("%s-%s-%d", k.domain, k.call, i%p.Keys)
	c := check.Command{OperationID: event.OperationID(tenant, source, id), Key: key, Writes: true, NotRepeatable: true, Unordered: true}
	if tenant != stack.SandboxTenant {
		c.Key = tenant + "/" + key
	}
	p.operationOfMark[k.vendor+" "+k.call+" "+mark] = c.OperationID
	return messageOf(tenant, k.domain, key, id, k.eventType, data), c
}

// send publishes a command and takes note of it.
func (p *publisher) send(ctx context.Context, m *nats.Msg, c check.Command) error {
	if _, err := p.store(ctx, m); err != nil {
		return err
	}
	c.Published = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evidence.Commands = append(p.evidence.Commands, c)
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
	p.evidence.Twins = append(p.evidence.Twins, pair)
	p.countFault(sameID)
	return nil
}

// publishDueSoon publishes a command that is due during the run.
func (p *publisher) publishDueSoon(ctx context.Context, i int) error {
	_, err := p.schedule(ctx, fmt.Sprint("due-", i), i)
	return err
}

// schedule publishes a command that is due soon. It has headers as JetStream sets them on what it
// reads from a stream: they name another message, and must not count.
func (p *publisher) schedule(ctx context.Context, id string, i int) (check.Command, error) {
	m, c := p.unorderedCreate(stack.SandboxTenant, id, i)
	c.NotBefore = time.Now().Add(dueAfter).UTC().Truncate(time.Second)
	m.Header.Set("ce-notbefore", c.NotBefore.Format(time.RFC3339))
	m.Header.Set("Nats-Stream", topology.StreamEvents)
	m.Header.Set("Nats-Subject", topology.CommandSubject(otherTenant, event.DomainDirectory, "stolen"))
	m.Header.Set("Nats-Sequence", "1")
	m.Header.Set("Nats-Time-Stamp", time.Unix(0, 0).UTC().Format(time.RFC3339Nano))
	p.countFault(scheduledSoon)
	return c, p.send(ctx, m, c)
}

// cancelOfAnotherTenant aims a cancel at an operation that waits in the first tenant, as the same
// source.
func (p *publisher) cancelOfAnotherTenant(ctx context.Context, i int) error {
	return p.tryCancel(ctx, i, "a cancel of another tenant", otherTenant, source)
}

// cancelOfAnotherSource does the same in the same tenant, as another source.
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
		m := messageOf(tenant, event.DomainDirectory, id, id, event.TypeOperationCancel, fmt.Sprintf(`{"operationId":%q}`, target.OperationID))
		m.Header.Set("ce-source", from)
		return p.publishUnauthorized(ctx, m, check.UnauthorizedCommand{Kind: what, OperationID: event.OperationID(tenant, from, id), Target: target.OperationID})
	}})
	return nil
}

// publishUnauthorized publishes a command that reaches for what is another's.
func (p *publisher) publishUnauthorized(ctx context.Context, m *nats.Msg, t check.UnauthorizedCommand) error {
	if _, err := p.store(ctx, m); err != nil {
		return err
	}
	p.evidence.Unauthorized = append(p.evidence.Unauthorized, t)
	p.countFault(unauthorizedCommand)
	return nil
}

// publishOtherTenantID publishes a command whose tenantid is another than its subject's tenant.
func (p *publisher) publishOtherTenantID(ctx context.Context, i int) error {
	m, c := p.unorderedCreate(stack.SandboxTenant, fmt.Sprint("other-tenantid-", i), i)
	m.Header.Set("ce-tenantid", otherTenant)
	return p.publishUnauthorized(ctx, m, check.UnauthorizedCommand{Kind: "a tenantid that is not the subject's tenant", OperationID: c.OperationID})
}

// publishNotDue publishes commands of two tenants that are not due during the run, on the same busy key.
// Those behind them must not wait. The last part of the workload has too few commands behind it.
func (p *publisher) publishNotDue(ctx context.Context, i int) error {
	if i > p.Commands/2 {
		return nil
	}
	for _, tenant := range []string{stack.SandboxTenant, otherTenant} {
		m, c := p.unorderedCreate(tenant, fmt.Sprint("not-due-", i), i)
		m.Header.Set(nats.MsgIdHdr, tenant+"-"+m.Header.Get("ce-id"))
		c.NotBefore = time.Now().Add(notDue).UTC()
		c.Writes, c.Want = false, string(event.StateCancelled)
		m.Header.Set("ce-notbefore", c.NotBefore.Format(time.RFC3339))
		if _, err := p.store(ctx, m); err != nil {
			return err
		}
		c.Published = time.Now()
		p.scheduled = append(p.scheduled, c)
		p.countFault(scheduledLater)
	}
	return nil
}

// cancelScheduled has the source of what is not due cancel it, when all else is done.
func (s *Scenario) cancelScheduled(ctx context.Context) error {
	for i, c := range s.scheduled {
		tenant, id := stack.SandboxTenant, fmt.Sprint("cancel-", i)
		if strings.HasPrefix(c.Key, otherTenant+"/") {
			tenant = otherTenant
		}
		m := messageOf(tenant, event.DomainDirectory, id, id, event.TypeOperationCancel, fmt.Sprintf(`{"operationId":%q}`, c.OperationID))
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

// publishAfterLaterVersion has a later version write that an operation waits, and then this one carry it
// out.
func (p *publisher) publishAfterLaterVersion(ctx context.Context, i int) error {
	id := fmt.Sprint("later-version-", i)
	m, c := p.unorderedCreate(stack.SandboxTenant, id, i)
	command, err := event.ReadCommand(m.Header, m.Data)
	if err != nil {
		return err
	}
	known := event.OperationData{CommandType: command.Event.Type(), Key: c.Key, ReceivedAt: time.Now().UTC(), Attempt: 1, Fingerprint: command.Fingerprint()}
	if err := p.forge(ctx, id, eventOfLaterVersion(id, known)); err != nil {
		return err
	}
	return p.send(ctx, m, c)
}
