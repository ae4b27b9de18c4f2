package bulk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/sealed"
	"github.com/mailwright/mailwright/services/internal/audit"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
)

// update is one report of the publisher: an entry is published, there is an update of a published
// one, or all are published.
type update struct {
	published *entry
	followed  *client.Update
	all       bool
}

// publisher publishes entries in their order, a limited number at once, and follows them to their
// outcomes.
type publisher struct {
	js      jetstream.JetStream
	limiter *rate.Limiter
	slots   chan struct{} // holds one for each row in flight
	wait    bool
	updates chan update

	group *errgroup.Group
	// ctx is that of the publishing. An error of the group ends it.
	ctx context.Context //nolint:containedctx // a publisher lives for one run, and so does its context
	// outcomes is the context of the waiting for outcomes.
	outcomes    context.Context //nolint:containedctx // as above
	stopWaiting context.CancelFunc
	pending     []client.Receipt // published, and not followed yet
	since       time.Time        // the first of pending was published
}

// Rows are followed in groups: each costs the server two consumers, and an outcome shows only once
// its row's group is complete.
const (
	groupSize  = 100
	groupDelay = 500 * time.Millisecond
)

func newPublisher(ctx context.Context, js jetstream.JetStream, inFlight int, perSecond float64, wait bool) *publisher {
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	p := &publisher{
		js: js, limiter: rate.NewLimiter(limit, 1), slots: make(chan struct{}, inFlight), wait: wait,
		updates: make(chan update, groupSize),
	}
	p.group, p.ctx = errgroup.WithContext(ctx)
	p.outcomes, p.stopWaiting = context.WithCancel(p.ctx)
	return p
}

// run publishes all entries by publish. It returns when each has its outcome, or when the waiting
// has ended, and closes updates.
func (p *publisher) run(entries []*entry, publish func([]*entry) error) error {
	defer close(p.updates)
	err := publish(entries)
	if err != nil {
		p.stopWaiting()
	} else {
		p.followPending()
		p.updates <- update{all: true}
	}
	return errors.Join(err, p.group.Wait())
}

func (p *publisher) publish(entries []*entry, tally *audit.Tally) error {
	for _, e := range entries {
		if err := p.awaitSlot(); err != nil {
			return err
		}
		message, err := p.sealed(e)
		if err != nil {
			return fmt.Errorf("row %d: %w", e.row, err)
		}
		ack, err := client.Store(p.ctx, p.js, message)
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			err = client.ErrNoStreams
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", e.row, err)
		}
		e.receipt.Sequence = ack.Sequence
		tally.Add(1)
		p.updates <- update{published: e}
		if p.wait {
			p.follow(e.receipt)
		}
	}
	return nil
}

// sealed is the message of a row, with its secrets sealed if its tenant has published keys.
func (p *publisher) sealed(e *entry) (*nats.Msg, error) {
	command := e.command
	command.Event = command.Clone()
	app.SetPerson(&command.Event)
	command.Sealer = sealed.Sealer{}
	command, err := client.SealForTenant(p.ctx, p.js, command)
	if err != nil {
		return nil, err
	}
	message, _, err := command.Message()
	return message, err
}

// follow adds a published row to those that are followed next.
func (p *publisher) follow(r client.Receipt) {
	if len(p.pending) == 0 {
		p.since = time.Now()
	}
	p.pending = append(p.pending, r)
	if len(p.pending) == groupSize || time.Since(p.since) > groupDelay {
		p.followPending()
	}
}

// awaitSlot waits until the next row may be published: by the rate, and by the rows in flight.
func (p *publisher) awaitSlot() error {
	delay := p.limiter.Reserve().Delay()
	if delay > groupDelay {
		p.followPending()
	}
	select {
	case <-time.After(delay):
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	if !p.wait {
		return nil
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	p.followPending() // only a followed row releases a slot
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// followPending begins to follow the rows that have been published since it was last called.
func (p *publisher) followPending() {
	receipts := p.pending
	p.pending = nil
	if len(receipts) == 0 {
		return
	}
	p.group.Go(func() error {
		err := client.AwaitAll(p.outcomes, p.js, receipts, func(n client.Update) { p.updates <- update{followed: &n} })
		if errors.Is(err, client.ErrNoOutcome) {
			return nil
		}
		return err
	})
}
