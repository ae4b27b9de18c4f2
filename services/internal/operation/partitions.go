package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// layoutInterval is how often a process looks whether the number of partitions was changed, and
// whether the commands from before the change are acknowledged.
const layoutInterval = 2 * time.Second

// partitions has the commands of a domain delivered, and follows a change of the number of its
// partitions while it runs.
//
// COMMANDS stores commands from before the change and from after it on different subjects: see
// [topology.Layout]. Every process receives those of the later generation only when all of the
// earlier one are acknowledged. By then each of these has its outcome or waits in PARKED, where a
// later command of its key finds it. So keys keep their order, although they have moved to other
// partitions and other processes.
type partitions struct {
	engine     *Engine
	router     *message.Router
	subscriber *bus.Subscriber
	handle     message.NoPublishHandlerFunc
	serving    topology.Generation
	handlers   []*message.Handler
}

// layout reads how COMMANDS is spread over partitions now.
func (e *Engine) layout(ctx context.Context) (topology.Layout, error) {
	info, err := e.parking.commands.Info(ctx)
	if err != nil {
		return topology.Layout{}, fmt.Errorf("the partitions of %s: %w", topology.StreamCommands, err)
	}
	return topology.LayoutOf(info.Config)
}

// due is the generation whose commands are to be delivered now.
func (p *partitions) due(ctx context.Context) (topology.Generation, error) {
	l, err := p.engine.layout(ctx)
	if err != nil || l.Previous == nil || p.serving == l.Current {
		return l.Current, err
	}
	drained, err := bus.IsDrained(ctx, p.engine.cfg.JS, p.engine.cfg.Domain, *l.Previous)
	if err != nil || !drained {
		return *l.Previous, err
	}
	return l.Current, nil
}

// serve adds a handler for each partition of a generation.
func (p *partitions) serve(g topology.Generation) {
	p.serving, p.handlers = g, nil
	domain := p.engine.cfg.Domain
	for n := range g.Partitions {
		name := fmt.Sprintf("%s-%d-%d", domain, g.Number, n)
		p.handlers = append(p.handlers, p.router.AddConsumerHandler(name, topology.CommandFilter(domain, g.Number, n), p.subscriber, p.handle))
	}
}

// follow changes over to a later generation when its turn has come, until ctx ends.
func (p *partitions) follow(ctx context.Context) {
	tick := time.NewTicker(layoutInterval)
	defer tick.Stop()
	started := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if g, err := p.due(ctx); err != nil {
			p.engine.cfg.Log.Warn("the number of partitions cannot be read", "error", err)
		} else if g != p.serving {
			p.changeOver(g)
			started = false
		}
		if started {
			continue
		}
		// It starts the handlers that have not started yet.
		if err := p.router.RunHandlers(ctx); err != nil {
			p.engine.cfg.Log.Error("new partitions cannot be served yet", "partitions", p.serving.Partitions, "generation", p.serving.Number, "error", err)
			continue
		}
		started = true
		p.engine.cfg.Log.Info("serving new partitions", "partitions", p.serving.Partitions, "generation", p.serving.Number)
	}
}

// changeOver leaves the partitions that have nothing left.
func (p *partitions) changeOver(g topology.Generation) {
	for _, h := range p.handlers {
		select {
		case <-h.Started():
			h.Stop()
		default: // it never began
		}
	}
	p.serve(g)
}
